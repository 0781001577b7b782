"""From a record to the command in it."""

from agents.core.batch import Record
from topics.codec import decode
from topics.commands import AnyCommand, StartSync
from topics.dead_letters import DeadLetter


def read_command(record: Record) -> AnyCommand:
    """The command in a record; Rejected says why there is none.

    A start without a request_id gets one that names the message itself, so that the same message read twice is the
    same request.
    """
    command = decode(record.topic, record.value, record.headers)
    if isinstance(command, StartSync) and command.request_id is None:
        message = f"{record.topic}/{record.partition}/{record.offset}"
        return command.model_copy(update={"request_id": message})
    return command


def dead_letter(record: Record, reason: str) -> DeadLetter:
    return DeadLetter(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        at=record.timestamp,
        reason=reason,
        key=record.key,
        value=record.value,
        headers=tuple(record.headers),
    )
