"""Reading the topics from their beginning to where they end now."""

from collections import Counter, defaultdict
from collections.abc import Callable
from hashlib import blake2b
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from tests.checker.entries import Entry
from tests.checker.evidence import Evidence, Letter, LogFacts, Message, Newest, Said, Told
from tests.checker.formats import (
    ID_HEADER,
    RecordReader,
    document,
    fold,
    guard_of,
    letter,
    told_in,
    tombstone,
    workflow_of,
)

JOURNAL = "sluice-workflows-changelog"
CONTROL = ("start-sync", "control", "page-done", "action-complete")
SENT = ("control", "fetch-page", "run-action")  # whose messages say the same whenever they are sent again
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
        self.said: list[Said] = []
        self.told: dict[tuple[int, int], Told] = {}
        self.outnumbered: set[tuple[str, int]] = set()
        self.asked: set[tuple[str, int]] = set()
        self.nudges: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.events: defaultdict[tuple[str, int, str], list[int]] = defaultdict(list)
        self.letters: list[Letter] = []
        self.journal: list[Entry] = []
        self.records = RecordReader()
        self.folded: defaultdict[int, dict[bytes, bytes]] = defaultdict(dict)
        self.position: dict[int, int] = {}
        self.newest: dict[str, Newest] = {}
        self._takers: dict[str, Callable[[Any], None]] = {
            "start-sync": self._start,
            "control": self._control,
            "page-done": self._page_done,
            "dead-letters": self._letter,
            JOURNAL: self._entry,
        }

    def evidence(self) -> Evidence:
        """What the topics say; nothing is known of anything else."""
        return Evidence(
            starts=self.starts,
            said=self.said,
            told=self.told,
            outnumbered=frozenset(self.outnumbered),
            asked=frozenset(self.asked),
            nudges=self.nudges,
            events=self.events,
            letters=self.letters,
            journal=self.journal,
            seen=frozenset(self.records.seen),
            causes=frozenset(self.records.causes),
            folded=self.folded,
            position=self.position,
            newest=self.newest,
        )

    def take(self, record: Any) -> None:
        if record.topic in CONTROL:
            key = workflow_of(record.topic, record.value)
            self.events[record.topic, record.partition, key].append(record.offset)
        if record.topic in SENT:
            self._sent(record)
        if record.topic in self._takers:
            self._takers[record.topic](record)

    def _sent(self, record: Any) -> None:
        id_ = next((content for name, content in record.headers if name == ID_HEADER), None)
        if id_ is not None:
            digest = blake2b(record.topic.encode() + b"\n" + (record.value or b""), digest_size=16).digest()
            self.said.append(
                Said((record.topic, record.partition, record.offset), digest, id_.decode(errors="replace"))
            )

    def _start(self, record: Any) -> None:
        self.starts.append(Message(record.topic, record.partition, record.offset, record.key, record.value))

    def _control(self, record: Any) -> None:
        said = document(record.value)
        kind, workflow, run = said.get("kind"), str(said.get("workflow")), said.get("parent_run")
        if kind == "nudge":
            self.nudges[workflow][str(said.get("request_id"))] += 1
        elif kind == "outnumbered" and isinstance(run, int):
            self.outnumbered.add((workflow, run))
        elif kind == "start-entity" and isinstance(run, int):
            self.asked.add((str(said.get("parent")), run))

    def _page_done(self, record: Any) -> None:
        told = told_in(record.value)
        if told is not None:
            self.told[record.partition, record.offset] = told

    def _letter(self, record: Any) -> None:
        self.letters.append(letter(record.partition, record.offset, record.key, record.value, record.headers))

    def _entry(self, record: Any) -> None:
        key = (record.key or b"").decode()
        folded = self.folded[record.partition]
        before = folded.get(record.key)
        fold(folded, record.key, record.value)
        if folded.get(record.key) != before:
            self.position[record.partition] = record.offset
        if record.value is None:
            self.journal.append(tombstone(key, record.partition, record.offset))
            return
        entry = self.records.read(key, record.value, record.partition, record.offset)
        self.journal.append(entry)
        known = self.newest.get(entry.run_id)
        if known is None or guard_of(record.value) >= (known.generation, known.seq):
            self.newest[entry.run_id] = Newest(*guard_of(record.value), record.value)


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
