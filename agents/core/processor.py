"""The processor: the records of a batch, in order, each a step of the workflow that it is for.

An offset is committed only after a flush has confirmed every record that its step led to, so a crash anywhere leads to
redelivery. A command that one workflow sends another of its partition is delivered locally, within the batch: it has no
offset of its own and is delivered again when the event is replayed that it follows from.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from agents.core.batch import Batch, Record
from agents.core.context import BatchContext
from agents.core.decision import Decider
from agents.core.delivery import Delivery
from agents.core.registry import Registry
from agents.core.step import Outcome, Step
from manifests.entity import Adapter
from topics.command import Command
from topics.errors import Broken, Rejected
from topics.ids import message_name

# Local deliveries that one record may lead to: a sync with a thousand entities needs some thousand. More are workflows
# that send each other commands without end.
LOCAL_DELIVERIES_MAX = 100_000


class Processor:
    """Processes a delivery for whichever kind of workflow its key names."""

    def __init__(self, registry: Registry, adapters: Mapping[str, Adapter]) -> None:
        self.registry = registry
        self._deciders: dict[str, Decider[Any]] = {
            name: kind.decider(adapters) for name, kind in registry.kinds.items()
        }

    def process(self, delivery: Delivery, context: BatchContext) -> Outcome:
        """One step; see Step for its errors."""
        kind = self.registry.kind(delivery.command.key)
        return Step(kind, self._deciders[kind.name], delivery, context).run()

    def pending_commands(self, key: str, state: Any) -> Sequence[Command]:
        return self._deciders[self.registry.kind(key).name].pending_commands(state)


def process_batch(batch: Batch, context: BatchContext, processor: Processor) -> None:
    """Process a batch's records in order. What cannot be handled is a dead letter, and the partition continues."""
    for record in batch.records:
        try:
            command = read_command(record, processor.registry)
            if not context.holds(command.key):
                context.publish(command, command.key)  # a client's own partitioner: send it where its workflow lives
                continue
            processor.process(Delivery(record.topic, record.offset, record.timestamp, batch.epoch, command), context)
        except Rejected as error:
            context.reject(record, str(error))
        _deliver_locally(context, processor, record.timestamp, batch.epoch)


def resend_pending(keys: Iterable[str], context: BatchContext, processor: Processor) -> int:
    """Publish again what these workflows wait for, since messages of their partition are gone; the number of commands.

    By the broker, also within the partition: deciders take the time from its records.
    """
    sent = 0
    for key in keys:
        row = context.get(key)
        if row is None or row.state is None:
            continue
        for command in processor.pending_commands(key, row.state):
            context.publish(command, row.state.trace)
            sent += 1
    return sent


def _deliver_locally(context: BatchContext, processor: Processor, at: int, epoch: int) -> None:
    """Everything that follows within the partition. What is rejected goes by the broker, for its own dead letter."""
    for _ in range(LOCAL_DELIVERIES_MAX):
        local = context.next_local()
        if local is None:
            return
        try:
            processor.process(Delivery("", None, at, epoch, local.command, local.redelivered), context)
        except Rejected:
            context.publish(local.command, local.trace)
    raise Broken(
        f"one record led to {LOCAL_DELIVERIES_MAX:,} deliveries within its partition, the last to "
        f"{local.command.key if local else 'nobody'}: workflows send each other commands without end"
    )


def read_command(record: Record, registry: Registry) -> Command:
    """The command in a record; Rejected says why there is none.

    A request without an id is named after the message itself, so that the same message read twice is one request.
    """
    command = registry.decode(record.topic, record.value, record.headers)
    return command.named_after(message_name(record.topic, record.partition, record.offset, record.timestamp))
