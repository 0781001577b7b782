"""Reading the topics from their beginning to where they end now."""

from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from tests.checker.entries import Entry, Newest
from tests.checker.evidence import Evidence
from tests.checker.formats import LOG_PREFIX, SOURCE_LOGS, RecordReader, fold, guard_in, guard_of
from tests.checker.messages import ID_HEADER, action_id, decoded, document, letter, workflow_of
from tests.checker.values import Action, LogFacts, Message, PageResult, SentCommand, TimelineRow

JOURNAL = "sluice-workflows-changelog"
CONTROL = ("start-sync", "control", "page-done", "action-complete")
ACTIONS = ("run-action", "action-complete")
SENT = ("control", "fetch-page", *ACTIONS)  # whose messages say the same whenever they are sent again
TOPICS = (*CONTROL, "fetch-page", "run-action", "dead-letters", JOURNAL)
POLL_MS = 500
SILENCE_POLLS_MAX = 60  # half a minute without a record that must be there


class Archived(msgspec.Struct, frozen=True):
    """A record of the journal as it was written down when it came."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]


class TopicsUnreadable(Exception):
    """The topics could not be read to their ends; the text says what is missing."""


class TopicsReader:
    """What stands in the topics, record by record. Holds what is compared, not the records."""

    def __init__(self) -> None:
        self.records = RecordReader()
        self._epochs: dict[int, int] = {}  # the highest so far, by partition of the journal
        self.found = Evidence(request_ids=self.records.ids)

    def evidence(self) -> Evidence:
        """What the topics say; nothing is known of anything else."""
        self.found.events = self._timeline()
        return self.found

    def take(self, record: Any) -> None:
        found, topic, value, place = self.found, record.topic, record.value, (record.partition, record.offset)
        if topic in CONTROL:
            key = workflow_of(topic, value)
            found.offsets.setdefault((topic, record.partition, key), []).append(record.offset)
        if topic in SENT:
            self._sent(record)
        if topic == JOURNAL:
            self.take_last(record)
            self._journal(record)
        elif topic == "start-sync":
            found.starts.append(Message(topic, *place, record.key, value, record.timestamp))
        elif topic == "control":
            self._control(record)
        elif topic == "dead-letters":
            found.letters.append(letter(*place, record.key, value, record.headers))
        else:
            self._activity(topic, value, place)

    def take_last(self, record: Any) -> None:
        """A record of the journal as Kafka has it: compaction keeps the last one of each key."""
        self.found.last.setdefault(record.partition, {})[record.key] = record.value

    def take_archived(self, record: Archived) -> None:
        """One that Kafka need not have any more."""
        self._journal(record)

    def _activity(self, topic: str, value: bytes | None, place: tuple[int, int]) -> None:
        if topic == "page-done" and (result := decoded(value, PageResult)):
            self.found.results[place] = result
        elif topic == "run-action" and (action := decoded(value, Action)):
            self.found.actions.add(action.about)
        elif topic == "action-complete" and (action := decoded(value, Action)):
            self.found.action_results[place] = action

    def _sent(self, record: Any) -> None:
        id_ = next((content for name, content in record.headers if name == ID_HEADER), None)
        if id_ is not None:
            digest = blake2b(record.topic.encode() + b"\n" + (record.value or b""), digest_size=16).digest()
            origin = (record.topic, record.partition, record.offset)
            action = decoded(record.value, Action) if record.topic in ACTIONS else None
            derived = "" if action is None else action_id(record.topic, action)
            self.found.sent.append(SentCommand(origin, digest, id_.decode(errors="replace"), derived))

    def _control(self, record: Any) -> None:
        said = document(record.value)
        kind, workflow, run = said.get("kind"), str(said.get("workflow")), said.get("parent_run")
        if kind == "nudge":
            self.found.retries.setdefault(workflow, set()).add(str(said.get("request_id")))
        elif kind == "outnumbered" and isinstance(run, int):
            self.found.stale_runs.add((workflow, run))
        elif kind == "start-entity" and isinstance(run, int):
            self.found.parents_started.add((str(said.get("parent")), run))

    def _journal(self, record: Any) -> None:
        found, key, place = self.found, (record.key or b"").decode(), (record.partition, record.offset)
        guard, epoch = guard_in(record.value, record.headers), self._epochs.get(record.partition, 0)
        if guard is not None and guard[0] < epoch:
            found.cut_off += 1
            return
        self._epochs[record.partition] = guard[0] if guard else epoch
        folded = found.folded.setdefault(record.partition, {})
        before = folded.get(record.key)
        fold(folded, record.key, record.value)
        if folded.get(record.key) != before:
            found.position[record.partition] = record.offset
        if key == SOURCE_LOGS:
            return
        if key.startswith(LOG_PREFIX):
            if record.value is not None:
                found.request_logs.append(self.records.read_log(key, record.value, *place))
            return
        if record.value is None:
            epoch, seq = guard or (0, 0)
            found.journal.append(
                Entry(key=key, partition=place[0], offset=place[1], epoch=epoch, seq=seq, is_tombstone=True)
            )
            return
        entry = self.records.read(key, record.value, *place)
        found.journal.append(entry)
        known = found.newest.get(entry.run_id)
        if known is None or guard_of(record.value) >= (known.epoch, known.seq):
            found.newest[entry.run_id] = Newest(key, *guard_of(record.value), record.value)

    def _timeline(self) -> frozenset[TimelineRow]:
        """All that happened, as the timeline has it."""
        return frozenset(
            (key, one.at, one.seq, one.cause, one.text, one.request, f"{key}@{one.run}" if one.run else "")
            for key, events in self.records.events.items()
            for one in events
        )


async def read_topics(bootstrap: str, reader: TopicsReader, archive: Path | None = None) -> None:
    """Every record of every topic into `reader`, each partition in its order, and what was there.

    Where there is an archive, it has the journal's, and Kafka what compaction has left.
    """
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
        await _read(consumer, partitions, reader, archive is not None)
    finally:
        await consumer.stop()
    if archive is not None:
        read_archive(archive, reader)


def read_archive(archive: Path, reader: TopicsReader) -> None:
    """Its records, in place of those that Kafka has left: `logs` say what of the journal is missing there."""
    logs = {log.partition: log for log in reader.found.logs if log.topic == JOURNAL}
    in_kafka = sum(log.read for log in logs.values())
    for log in logs.values():
        log.begin = log.next = log.read = 0
        log.holes.clear()
    with archive.open("rb") as lines:
        for line in lines:
            record = msgspec.json.decode(line, type=Archived)
            if logs[record.partition].take(record.offset):
                reader.take_archived(record)
    reader.found.compacted = sum(log.read for log in logs.values()) - in_kafka


async def _read(consumer: Any, partitions: list[TopicPartition], reader: TopicsReader, is_compacted: bool) -> None:
    begins, ends = await consumer.beginning_offsets(partitions), await consumer.end_offsets(partitions)
    consumer.assign(partitions)
    logs = {tp: LogFacts(tp.topic, tp.partition, begins[tp], ends[tp], next=begins[tp]) for tp in partitions}
    reader.found.logs = list(logs.values())
    for tp in partitions:
        consumer.seek(tp, begins[tp])
    silent = 0
    while unread := [log for log in logs.values() if log.next < log.end]:
        fetched = await consumer.getmany(timeout_ms=POLL_MS)
        silent = 0 if fetched else silent + 1
        if silent > SILENCE_POLLS_MAX:
            missing = {f"{log.topic}/{log.partition}": log.end - log.next for log in unread}
            raise TopicsUnreadable(f"the broker has more to give and gives nothing; what is missing: {missing}")
        for tp, records in fetched.items():
            for record in records:
                if logs[tp].take(record.offset):
                    take = reader.take_last if is_compacted and tp.topic == JOURNAL else reader.take
                    take(record)
        for tp in partitions:  # a record that is no message, a transaction's marker, ends the partition silently
            logs[tp].skip(await consumer.position(tp))


def _partitions(consumer: Any, topic: str) -> list[TopicPartition]:
    found = consumer.partitions_for_topic(topic)
    if not found:
        raise TopicsUnreadable(f"there is no topic {topic}: is this the right cluster, and were its topics created?")
    return [TopicPartition(topic, partition) for partition in sorted(found)]
