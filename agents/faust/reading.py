"""Reading of source partitions: where each continues, what of it is lost, and whether its log is still the same."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from agents.core.batch import Batch, Out
from agents.core.reading import STOPPED_AT_LOSS, Beginning, LostRecords, begin_reading
from tables.logs import KEY, UNKNOWN_LOG, FoundLog, LogIdentity, SourceLogs, decode_logs, encode_logs
from topics.errors import Broken, Retryable

log = logging.getLogger("sluice.worker")

CHECK_SECONDS = 5.0  # between two questions whether the logs are still the same
FIND_ATTEMPTS_MAX = 60  # to ask for the logs after an assignment; then the process ends
FIND_AGAIN_SECONDS = 1.0
WORKFLOWS_PER_BATCH_MAX = 500  # that ask again in one batch

Place = tuple[str, int]  # topic, partition
FindLogs = Callable[[Mapping[Place, int | None]], Awaitable[Mapping[Place, LogIdentity]]]
"""The identities of logs, each after the leader of this epoch (None: not known). Retryable: ask again later."""
Resend = Callable[[Batch, Sequence[str]], int]
"""Puts what workflows wait for into a batch, to be published again; the number of commands."""


class Reading:
    """`request_topics` hold requests of others, which nobody here can ask for again.

    With `stops_at_loss` the process ends instead of continuing behind records that are lost.
    """

    def __init__(
        self, find_logs: FindLogs, resend: Resend, request_topics: Collection[str] = (), stops_at_loss: bool = False
    ) -> None:
        self._find_logs = find_logs
        self._resend = resend
        self._request_topics = request_topics
        self._stops_at_loss = stops_at_loss
        self._confirmed: dict[Any, int] = {}  # offsets up to which the logs were the known ones when they were read

    async def begin(self, app: Any, consumer: Any, tps: Iterable[Any]) -> dict[Any, int]:
        """The offsets that each partition is read from; what is lost before them is said and asked for again.

        Committed offsets first, then the record of the logs: an offset of another log must never be met beside what is
        known of this one.
        """
        table = app.strict_tables[0]
        known = {tp.partition: known_logs(table, tp.partition) for tp in tps}
        beginnings = await self._beginnings(table, known, await self._find(consumer, known, list(tps)))
        lost = [one.lost for one in beginnings.values() if one.lost is not None]
        for one in lost:
            await self._recover(app, table, one)
        logs = {tp.partition: one.logs for tp, one in beginnings.items()}
        moved = {
            tp: one.offset
            for tp, one in beginnings.items()
            if one.lost is not None or one.logs.since(tp.topic) != known[tp.partition].since(tp.topic)
        }
        if moved:
            await app.producer.flush()
            if not await consumer._thread.commit(moved):
                raise Retryable(f"the group did not take the offsets {moved}: a rebalance came between")
        for tp in moved.keys() - {(one.topic, one.partition) for one in lost}:
            log.warning("log replaced", extra=_facts(tp.topic, tp.partition) | {"sluice.offset": moved[tp]})
        for partition, after in logs.items():
            await put_logs(app, table, partition, known[partition], after)
        self._confirmed = {tp: one.offset for tp, one in beginnings.items()}
        return dict(self._confirmed)

    async def watch(self, app: Any) -> None:
        """Read anew where a log turns out to be another one; note the leaders of those that are the same."""
        while not app.should_stop:
            await app.sleep(CHECK_SECONDS)
            if app.rebalancing or app.tables.recovery.in_recovery or not self._confirmed:
                continue
            try:
                await self._check(app, app.strict_tables[0])
            except Retryable as error:
                log.warning("logs not checked", extra={"sluice.error": str(error)})

    async def _check(self, app: Any, table: Any) -> None:
        generation, confirmed = app.consumer_generation_id, self._confirmed
        read = {tp: app.next_offset.get(tp) or 0 for tp in confirmed}  # before the question: by these leaders, or older
        known = {tp.partition: known_logs(table, tp.partition) for tp in confirmed}
        identities = await self._find_logs({tp: known[tp.partition].log(tp.topic).leader_epoch for tp in confirmed})
        if generation != app.consumer_generation_id or app.rebalancing or confirmed is not self._confirmed:
            return
        logs = dict(known)
        for tp, reached in confirmed.items():
            found = _found(identities.get(tp, UNKNOWN_LOG), 0, reached)
            logs[tp.partition] = logs[tp.partition].finding(tp.topic, found, reached)
        self._confirmed = read
        if any(after.incarnation != known[partition].incarnation for partition, after in logs.items()):
            app.consumer.begin_again()
            return
        for partition, after in logs.items():
            await put_logs(app, table, partition, known[partition], after)

    async def _find(
        self, consumer: Any, known: Mapping[int, SourceLogs], tps: Sequence[Any]
    ) -> dict[Any, tuple[int | None, FoundLog]]:
        """The committed offset and the log of each partition."""
        committed = await consumer.seek_to_committed()
        begins, ends = await consumer.earliest_offsets(*tps), await consumer.highwaters(*tps)
        identities = await self._identities({tp: known[tp.partition].log(tp.topic).leader_epoch for tp in tps})
        return {tp: (committed.get(tp), _found(identities.get(tp, UNKNOWN_LOG), begins[tp], ends[tp])) for tp in tps}

    async def _identities(self, leader_epochs: Mapping[Any, int | None]) -> Mapping[Place, LogIdentity]:
        for _ in range(FIND_ATTEMPTS_MAX):
            try:
                return await self._find_logs(leader_epochs)
            except Retryable as error:
                log.warning("logs not found yet", extra={"sluice.error": str(error)})
            await asyncio.sleep(FIND_AGAIN_SECONDS)
        raise Broken(f"the cluster did not describe the topics' logs in {FIND_ATTEMPTS_MAX} attempts")

    async def _beginnings(
        self, table: Any, known: Mapping[int, SourceLogs], found: Mapping[Any, tuple[int | None, FoundLog]]
    ) -> dict[Any, Beginning]:
        logs = dict(known)
        reached = {
            partition: before.reached(value for _, value in table.workflows(partition))
            for partition, before in known.items()
        }
        beginnings = {}
        for tp, (committed, one) in found.items():
            folded = reached[tp.partition].get(tp.topic, 0)
            beginnings[tp] = begin_reading(logs[tp.partition], tp.topic, tp.partition, one, committed, folded)
            logs[tp.partition] = beginnings[tp].logs
        return beginnings

    async def _recover(self, app: Any, table: Any, lost: LostRecords) -> None:
        """Ask again for what the workflows of the partition wait for."""
        requests = " Requests among them will not run: send them again." if lost.topic in self._request_topics else ""
        if self._stops_at_loss:
            raise Broken(f"{lost}.{requests} {STOPPED_AT_LOSS}")
        keys = [key for key, _ in table.workflows(lost.partition)]
        commands = 0
        for start in range(0, len(keys), WORKFLOWS_PER_BATCH_MAX):
            batch = Batch(table, lost, (), table.epoch(lost.partition))
            commands += self._resend(batch, keys[start : start + WORKFLOWS_PER_BATCH_MAX])
            for (topic, target), outs in batch.outputs.items():
                await app.deliveries.send(app.producer._producer, topic, target, outs)
        facts = {"sluice.records_lost": lost.count, "sluice.commands_sent_again": commands}
        log.error("%s.%s What workflows wait for is asked for again", lost, requests, extra=facts)


def known_logs(table: Any, partition: int) -> SourceLogs:
    value = table.read(partition, KEY)
    return SourceLogs() if value is None else decode_logs(value)


async def put_logs(app: Any, table: Any, partition: int, before: SourceLogs, after: SourceLogs) -> None:
    """Note the logs in the table, and wait until its changelog has them."""
    if after is before:
        return
    value = encode_logs(msgspec.structs.replace(after, epoch=table.epoch(partition)))
    table.store(partition, {KEY: value})
    await app.publish_records(table, partition, [Out(KEY, value)])
    await app.producer.flush()


def _found(identity: LogIdentity, begin: int, end: int) -> FoundLog:
    return FoundLog(identity.topic_id, begin, end, identity.leader_epoch, identity.kept)


def _facts(topic: str, partition: int) -> dict[str, object]:
    return {"sluice.topic": topic, "sluice.partition": partition}
