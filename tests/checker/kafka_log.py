"""Reading the topics from their beginning to where they end now."""

from collections import defaultdict
from collections.abc import Callable
from hashlib import blake2b
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from tests.checker.entries import Entry, RequestLog
from tests.checker.evidence import Evidence
from tests.checker.formats import LOG_PREFIX, RecordReader, fold, guard_of, tombstone
from tests.checker.messages import ID_HEADER, action_id, action_in, document, letter, page_result_in, workflow_of
from tests.checker.values import (
    ActionResult,
    ActionStep,
    Letter,
    LogFacts,
    Message,
    Newest,
    PageResult,
    SentCommand,
    TimelineRow,
)

JOURNAL = "sluice-workflows-changelog"
CONTROL = ("start-sync", "control", "page-done", "action-complete")
ACTIONS = ("run-action", "action-complete")
SENT = ("control", "fetch-page", *ACTIONS)  # whose messages say the same whenever they are sent again
TOPICS = (*CONTROL, "fetch-page", "run-action", "dead-letters", JOURNAL)
POLL_MS = 500
SILENCE_POLLS_MAX = 60  # half a minute without a record that must be there
HOLES_SHOWN_MAX = 10


class TopicsUnreadable(Exception):
    """The topics could not be read to their ends; the text says what is missing."""


class TopicsReader:
    """What stands in the topics, record by record. Holds what is compared, not the records."""

    def __init__(self) -> None:
        self.starts: list[Message] = []
        self.sent: list[SentCommand] = []
        self.results: dict[tuple[int, int], PageResult] = {}
        self.actions: set[ActionStep] = set()
        self.action_results: dict[tuple[int, int], ActionResult] = {}
        self.stale_runs: set[tuple[str, int]] = set()
        self.parents_started: set[tuple[str, int]] = set()
        self.retries: defaultdict[str, set[str]] = defaultdict(set)
        self.offsets: defaultdict[tuple[str, int, str], list[int]] = defaultdict(list)
        self.letters: list[Letter] = []
        self.journal: list[Entry] = []
        self.request_logs: list[RequestLog] = []
        self.records = RecordReader()
        self.folded: defaultdict[int, dict[bytes, bytes]] = defaultdict(dict)
        self.position: dict[int, int] = {}
        self.newest: dict[str, Newest] = {}
        self._takers: dict[str, Callable[[Any], None]] = {
            "start-sync": self._start,
            "control": self._control,
            "page-done": self._page_done,
            "run-action": self._run_action,
            "action-complete": self._action_complete,
            "dead-letters": self._letter,
            JOURNAL: self._entry,
        }

    def evidence(self) -> Evidence:
        """What the topics say; nothing is known of anything else."""
        return Evidence(
            starts=self.starts,
            sent=self.sent,
            results=self.results,
            actions=frozenset(self.actions),
            action_results=self.action_results,
            stale_runs=frozenset(self.stale_runs),
            parents_started=frozenset(self.parents_started),
            retries=self.retries,
            offsets=self.offsets,
            letters=self.letters,
            journal=self.journal,
            request_logs=self.request_logs,
            request_ids=self.records.ids,
            events=self._timeline(),
            folded=self.folded,
            position=self.position,
            newest=self.newest,
        )

    def take(self, record: Any) -> None:
        if record.topic in CONTROL:
            key = workflow_of(record.topic, record.value)
            self.offsets[record.topic, record.partition, key].append(record.offset)
        if record.topic in SENT:
            self._sent(record)
        if record.topic in self._takers:
            self._takers[record.topic](record)

    def _sent(self, record: Any) -> None:
        id_ = next((content for name, content in record.headers if name == ID_HEADER), None)
        if id_ is not None:
            digest = blake2b(record.topic.encode() + b"\n" + (record.value or b""), digest_size=16).digest()
            origin = (record.topic, record.partition, record.offset)
            action = action_in(record.value) if record.topic in ACTIONS else None
            derived = "" if action is None else action_id(record.topic, action.step)
            self.sent.append(SentCommand(origin, digest, id_.decode(errors="replace"), derived))

    def _start(self, record: Any) -> None:
        self.starts.append(Message(record.topic, record.partition, record.offset, record.key, record.value))

    def _control(self, record: Any) -> None:
        said = document(record.value)
        kind, workflow, run = said.get("kind"), str(said.get("workflow")), said.get("parent_run")
        if kind == "nudge":
            self.retries[workflow].add(str(said.get("request_id")))
        elif kind == "outnumbered" and isinstance(run, int):
            self.stale_runs.add((workflow, run))
        elif kind == "start-entity" and isinstance(run, int):
            self.parents_started.add((str(said.get("parent")), run))

    def _page_done(self, record: Any) -> None:
        result = page_result_in(record.value)
        if result is not None:
            self.results[record.partition, record.offset] = result

    def _run_action(self, record: Any) -> None:
        action = action_in(record.value)
        if action is not None:
            self.actions.add(action.step)

    def _action_complete(self, record: Any) -> None:
        action = action_in(record.value)
        if action is not None:
            self.action_results[record.partition, record.offset] = action

    def _letter(self, record: Any) -> None:
        self.letters.append(letter(record.partition, record.offset, record.key, record.value, record.headers))

    def _entry(self, record: Any) -> None:
        key = (record.key or b"").decode()
        folded = self.folded[record.partition]
        before = folded.get(record.key)
        fold(folded, record.key, record.value)
        if folded.get(record.key) != before:
            self.position[record.partition] = record.offset
        if key.startswith(LOG_PREFIX):
            if record.value is not None:
                self.request_logs.append(self.records.read_log(key, record.value, record.partition, record.offset))
            return
        if record.value is None:
            self.journal.append(tombstone(key, record.partition, record.offset))
            return
        entry = self.records.read(key, record.value, record.partition, record.offset)
        self.journal.append(entry)
        known = self.newest.get(entry.run_id)
        if known is None or guard_of(record.value) >= (known.epoch, known.seq):
            self.newest[entry.run_id] = Newest(key, *guard_of(record.value), record.value)

    def _timeline(self) -> frozenset[TimelineRow]:
        """All that happened, as the timeline has it."""
        return frozenset(
            (
                key,
                event.at,
                event.seq,
                event.cause,
                event.text,
                event.request,
                f"{key}@{event.run}" if event.run else "",
            )
            for key, events in self.records.events.items()
            for event in events
        )


async def read_topics(bootstrap: str, reader: TopicsReader) -> list[LogFacts]:
    """Every record of every topic into `reader`, each partition in its order; what was there."""
    consumer = AIOKafkaConsumer(
        *TOPICS,
        bootstrap_servers=bootstrap,
        enable_auto_commit=False,
        max_partition_fetch_bytes=4 * 2**20,
        request_timeout_ms=30_000,
    )
    await consumer.start()
    try:
        partitions = [tp for topic in TOPICS for tp in _partitions(consumer, topic)]
        consumer.unsubscribe()  # it was only to learn of these
        return await _read(consumer, partitions, reader)
    finally:
        await consumer.stop()


async def _read(consumer: Any, partitions: list[TopicPartition], reader: TopicsReader) -> list[LogFacts]:
    begins, ends = await consumer.beginning_offsets(partitions), await consumer.end_offsets(partitions)
    consumer.assign(partitions)
    progress = {tp: _Progress(begins[tp], ends[tp]) for tp in partitions}
    for tp in partitions:
        consumer.seek(tp, begins[tp])
    silent = 0
    while any(one.next < one.end for one in progress.values()):
        fetched = await consumer.getmany(timeout_ms=POLL_MS)
        silent = 0 if fetched else silent + 1
        if silent > SILENCE_POLLS_MAX:
            lag = {
                f"{tp.topic}/{tp.partition}": one.end - one.next for tp, one in progress.items() if one.next < one.end
            }
            raise TopicsUnreadable(f"the broker has more to give and gives nothing; what is missing: {lag}")
        for tp, records in fetched.items():
            for record in records:
                if progress[tp].take(record.offset):
                    reader.take(record)
        for tp in partitions:  # a record that is no message, a transaction's marker, ends the partition silently
            progress[tp].skip(await consumer.position(tp))
    return [
        LogFacts(tp.topic, tp.partition, one.begin, one.end, one.read, tuple(one.holes)) for tp, one in progress.items()
    ]


def _partitions(consumer: Any, topic: str) -> list[TopicPartition]:
    found = consumer.partitions_for_topic(topic)
    if not found:
        raise TopicsUnreadable(f"there is no topic {topic}: is this the right cluster, and were its topics created?")
    return [TopicPartition(topic, partition) for partition in sorted(found)]


class _Progress:
    """How far a partition is read."""

    def __init__(self, begin: int, end: int) -> None:
        self.begin, self.end, self.next, self.read = begin, end, begin, 0
        self.holes: list[int] = []

    def take(self, offset: int) -> bool:
        """False for what stands behind the end as it was when reading began."""
        if offset >= self.end:
            self.next = self.end
            return False
        self.skip(offset)
        self.next, self.read = offset + 1, self.read + 1
        return True

    def skip(self, position: int) -> None:
        upto = min(position, self.end)
        if upto > self.next:
            if len(self.holes) < HOLES_SHOWN_MAX:
                self.holes.append(self.next)
            self.next = upto
