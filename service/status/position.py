"""The projector's position in the journal: taken from the database, and compared with how far the database had been."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from agents.core.registry import Registry
from service.kafka.journal import Journal
from service.status.meeting import meet
from service.status.progress import Progress, Step
from service.status.rows import StatusRows
from service.status.store import StatusStore
from tables.changelog import ChangelogRecord
from topics.errors import Retryable

log = logging.getLogger("sluice.projector")

RUNS_NAMED_MAX = 5


class Position:
    """Where each partition that is held is published to, and where it had been published to before.

    The database is behind where it knows less than was written to it: it was restored, or lost commits. What the
    journal has is published again; the rows of runs that were done meanwhile are not in it.
    """

    def __init__(self, consumer: AIOKafkaConsumer, registry: Registry, store: StatusStore, journal: Journal) -> None:
        self._consumer = consumer
        self._store = store
        self._journal = journal
        self._with_ledger = {kind.name for kind in registry.kinds.values() if kind.has_ledger}
        self._number = 0
        self._stored: dict[TopicPartition, Progress] = {}
        self._had_been: dict[TopicPartition, int] = {}  # where that is further than the database's
        self._missing: list[str] = []

    @property
    def reached(self) -> Mapping[TopicPartition, int]:
        """The offsets to commit. Where the database is behind, Kafka's say how far it had been."""
        return {tp: one.next_offset for tp, one in self._stored.items() if tp not in self._had_been}

    async def find(self) -> None:
        """Continue from where the database is. Retryable: it, or Kafka, does not answer."""
        self._number = await meet(self._store, self._journal)
        assigned = sorted(self._consumer.assignment())
        found = await self._store.progress(self._number, [tp.partition for tp in assigned])
        stored = {tp: found[tp.partition] for tp in assigned}
        try:
            had_been = await self._read_had_been(stored)
            for tp, progress in stored.items():
                if tp in self._consumer.assignment():
                    self._consumer.seek(tp, progress.next_offset)
        except KafkaError as error:
            raise Retryable(f"the offsets of the projector's group cannot be read: {error!r}") from error
        self._stored, self._had_been = stored, had_been
        if had_been:
            log.warning(_BEHIND, extra={"sluice.partitions": {tp.partition: end for tp, end in had_been.items()}})

    def reading(
        self, gathered: Mapping[TopicPartition, Sequence[ChangelogRecord]]
    ) -> tuple[list[Step], list[list[ChangelogRecord]]]:
        """The progress that the records make, and those of them that count. Without records: a step on the spot."""
        steps, counting = [], list[list[ChangelogRecord]]()
        if not gathered:
            return [Step(tp.partition, one, one) for tp, one in self._stored.items()], counting
        for tp, records in gathered.items():
            after, counted = self._stored[tp].reading(records)
            steps.append(Step(tp.partition, self._stored[tp], after))
            counting.append(counted)
        return steps, counting

    async def publish(self, rows: StatusRows, steps: Sequence[Step]) -> bool:
        """False, and nothing written, if the database is not where it was left."""
        suspects = rows.done(self._with_ledger) if self._had_been else ()
        missing = await self._store.publish(rows, self._number, steps, suspects)
        if missing is None:
            return False
        self._missing += missing
        after = {step.partition: step.after for step in steps}
        self._stored = {tp: after.get(tp.partition, one) for tp, one in self._stored.items()}
        if self._had_been:
            self._had_been = {tp: end for tp, end in self._had_been.items() if self._stored[tp].next_offset < end}
            if not self._had_been:
                self._report_missing()
        return True

    async def _read_had_been(self, stored: Mapping[TopicPartition, Progress]) -> dict[TopicPartition, int]:
        """The partitions of which more had been published than the database knows, and up to where.

        Not beyond the end: Kafka may know an offset of a topic that was deleted since.
        """
        ends = await self._consumer.end_offsets(list(stored)) if stored else {}
        found: dict[TopicPartition, int] = {}
        for tp, progress in stored.items():
            known = self._stored.get(tp, Progress()).next_offset
            had_been = min(ends[tp], max(known, await self._consumer.committed(tp) or 0))
            if had_been > progress.next_offset:
                found[tp] = had_been
        return found

    def _report_missing(self) -> None:
        """Once, when everything that had been published is published again."""
        facts: dict[str, Any] = {"sluice.runs": len(self._missing)}
        if self._missing:
            facts["sluice.missing"] = ", ".join(self._missing[:RUNS_NAMED_MAX])
            log.warning(_MISSING, extra=facts)
        else:
            log.warning("the status is published again: no completed run lost rows", extra=facts)
        self._missing = []


_BEHIND = (
    "the database knows less than was written to it: it was restored from a backup, or lost its last commits. "
    "The status is published again from there"
)
_MISSING = (
    "rows of completed runs are missing in the database until their next full sync: start one for each. "
    "`sluice status` names these runs"
)
