"""A processor with its context in memory: one delivery at a time, and what each put and sent."""

import re
from typing import Any

from agents.core.batch import Batch
from agents.core.context import BatchContext
from agents.core.delivery import Delivery
from agents.core.processor import Processor
from agents.core.registry import Registry
from agents.core.step import Outcome
from agents.kinds import SHIPPED
from tables.kinds.sync import SyncState
from tables.row import Row
from tests.engine.broker import LogPartition
from tests.engine.clock import T0
from tests.engine.engine import KEY
from tests.engine.store import Store
from tests.support.adapters import adapter, entity
from topics.command import Command
from topics.kinds.sync import ChildDone, StartSync

DAY_MS = 86_400_000
SLOT = re.compile(r"^request-log:\d+:")


class MemoryContext(BatchContext):
    """The context of one batch without end. What is sent is kept, with its trace, and not delivered."""

    def __init__(self, registry: Registry) -> None:
        self.batch = Batch(Store(), LogPartition("", 0), (), 1)
        self.sent: list[tuple[Command, str]] = []
        self.redelivered: list[bool] = []
        self.postponed: list[tuple[str, int, int]] = []
        super().__init__(self.batch, registry, lambda key: 0, "worker-1")

    def send(self, command: Command, trace: str, redelivered: bool = False) -> None:
        self.sent.append((command, trace))
        self.redelivered.append(redelivered)

    def postpone(self, key: str, due: int, milliseconds: int) -> None:
        self.postponed.append((key, due, milliseconds))

    @property
    def puts(self) -> list[str]:
        """The keys that the last delivery wrote, in order; a request log's is "log:" and its workflow."""
        return [SLOT.sub("log:", (out.key or b"").decode()) for out in self.batch.changelog]

    @property
    def stored(self) -> dict[str, bytes]:
        return {key.decode(): value for key, value in self.batch.changes.items() if value is not None}


class ProcessorBench:
    """A processor of a sync with one entity, its context, and the next offset of each topic."""

    def __init__(self, registry: Registry = SHIPPED) -> None:
        self.processor = Processor(registry, {"toy": adapter(entity("a.pet"))})
        self.context = MemoryContext(registry)
        self.offsets: dict[str, int] = {}

    def delivery(self, command: Command, at: int = T0, epoch: int = 1) -> Delivery:
        """From the broker, at the next offset of its topic."""
        offset = self.offsets[command.topic] = self.offsets.get(command.topic, -1) + 1
        return Delivery(command.topic, offset, at, epoch, command)

    def deliver(self, command: Command, at: int = T0, epoch: int = 1) -> Outcome:
        return self.process(self.delivery(command, at, epoch))

    def deliver_locally(self, command: Command, epoch: int = 1, redelivered: bool = False) -> Outcome:
        return self.process(Delivery("", None, T0, epoch, command, redelivered))

    def process(self, delivery: Delivery) -> Outcome:
        self.context.batch.changelog.clear()
        self.context.sent, self.context.redelivered = [], []
        return self.processor.process(delivery, self.context)

    @property
    def row(self) -> Row[Any]:
        row = self.context.get(KEY)
        assert row is not None
        return row

    @property
    def state(self) -> SyncState:
        assert isinstance(self.row.state, SyncState)
        return self.row.state

    @property
    def has_no_effect(self) -> bool:
        """Of the last delivery."""
        return not self.context.puts and not self.context.sent


def start(request: str | None = "request-1", **more: Any) -> StartSync:
    return StartSync.model_validate({"org": "acme", "adapter": "toy", "type": "full", "request_id": request, **more})


def child_done(run: int = T0) -> ChildDone:
    return ChildDone(workflow=KEY, parent_run=run, entity="a.pet", child_run_id="c@1", outcome="done")


def rejecting(request: str) -> StartSync:
    """A start that is rejected while a run is in progress."""
    return start(request, on_conflict="reject")


STALE = child_done(run=T0 - 1)
"""Of a run before: changes nothing, and nothing follows from it."""
