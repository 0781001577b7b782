"""What a poll's records led to, until it is handed over: one Kafka batch for each target, not one for each source."""

from typing import Any

from agents.core.batch import Batch, Out

RECORDS_MAX = 500  # at the maximum it is handed over before the end of the poll, so that others can begin


class Outbox:
    """By target partition, in the order of deciding. Its batches are in the store already."""

    def __init__(self) -> None:
        self.changelog: dict[int, list[Out]] = {}
        self.outputs: dict[tuple[str, int], list[Out]] = {}
        self.handled: dict[Any, int] = {}  # source partition -> the offset that may be committed once this is out
        self._records = 0

    @property
    def is_full(self) -> bool:
        return self._records >= RECORDS_MAX

    def add(self, batch: Batch) -> None:
        self.handled[batch.tp] = batch.records[-1].offset + 1
        if batch.changelog:
            self.changelog.setdefault(batch.tp.partition, []).extend(batch.changelog)
        for target, outs in batch.outputs.items():
            self.outputs.setdefault(target, []).extend(outs)
        self._records += len(batch.changelog) + sum(map(len, batch.outputs.values()))
