"""Bytes to commands and back, with the headers that travel beside them.

Reading is tolerant with machines (unknown fields are passed over, headers may be missing) and strict about meaning:
whatever is not a command raises Rejected with a sentence that names the place.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from topics.catalog import BY_NAME, COMMAND_BYTES_MAX
from topics.commands import AnyCommand, Command, ControlCommand
from topics.errors import Rejected
from topics.ids import derive_id

Headers = tuple[tuple[str, bytes], ...]

ID_HEADER = "sluice-id"
SCHEMA_HEADER = "sluice-schema"
SENT_BY_HEADER = "sluice-sent-by"
TRACE_HEADER = "traceparent"
PROBLEMS_SHOWN_MAX = 3
VERSION_DIGITS_MAX = 4
TRACES_REMEMBERED_MAX = 10_000  # the least recently used is derived again
VALUE_SHOWN_MAX = 40  # bytes of a wrong value that a reason shows
_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")


def _reader(models: Sequence[type[Command]]) -> TypeAdapter[Any]:
    if len(models) == 1:
        return TypeAdapter(models[0])
    control: TypeAdapter[Any] = TypeAdapter(Annotated[ControlCommand, Field(discriminator="kind")])
    return control


_READERS = {spec.name: _reader(spec.commands) for spec in BY_NAME.values() if spec.commands}


def encode(command: Command) -> bytes:
    """The command as JSON, without what is at its default and None."""
    return command.__pydantic_serializer__.to_json(command, exclude_none=True)


@lru_cache(maxsize=TRACES_REMEMBERED_MAX)
def trace_of(run_id: str) -> str:
    """The trace id (32 hex digits) of a run and of all that follows from it."""
    return derive_id("trace", run_id)


def trace_in(headers: Sequence[tuple[str, bytes | None]]) -> str | None:
    """The trace id that a message carries, if it carries a W3C traceparent."""
    for name, content in headers:
        if name == TRACE_HEADER and (found := _TRACEPARENT.fullmatch(content or b"")):
            return found[1].decode()
    return None


def headers(command: Command, trace_id: str, sent_by: str) -> Headers:
    """The command's headers. The span in its W3C traceparent is computed from its id, like every other id."""
    command_id = command.id
    return (
        (ID_HEADER, command_id.encode()),
        (SCHEMA_HEADER, str(command.version).encode()),
        (TRACE_HEADER, f"00-{trace_id}-{command_id[:16]}-01".encode()),
        (SENT_BY_HEADER, sent_by.encode()),
    )


def decode(topic: str, value: bytes | None, headers: Sequence[tuple[str, bytes | None]] = ()) -> AnyCommand:
    """The command in a message of `topic`. Rejected says what is wrong with it, and where."""
    reader = _READERS.get(topic)
    if reader is None:
        raise Rejected(f"topic {topic!r} carries no commands")
    if not value:
        raise Rejected(f"the message is empty: {topic} takes a JSON object")
    if len(value) > COMMAND_BYTES_MAX:
        raise Rejected(f"the message has {len(value)} bytes; {topic} takes at most {COMMAND_BYTES_MAX}")
    for name, content in headers:
        if name == SCHEMA_HEADER:
            _check_version(topic, content or b"")  # Kafka has headers without a value
    try:
        command: AnyCommand = reader.validate_json(value)
    except ValidationError as error:
        raise Rejected(f"not a {topic} command: {_problems(error)}") from None
    return command


def _check_version(topic: str, content: bytes) -> None:
    known = max(model.version for model in BY_NAME[topic].commands)
    is_number = content.isdigit() and len(content) <= VERSION_DIGITS_MAX
    if not is_number or not 1 <= int(content) <= known:
        shown = content[:VALUE_SHOWN_MAX].decode(errors="replace")
        raise Rejected(
            f"schema version {shown!r} of {topic} is not known here (newest known: {known}); "
            "upgrade the workers before the producers"
        )


def _problems(error: ValidationError) -> str:
    problems = error.errors(include_url=False, include_input=False)
    shown = [
        f"{'.'.join(str(part) for part in problem['loc']) or 'message'}: {problem['msg']}"
        for problem in problems[:PROBLEMS_SHOWN_MAX]
    ]
    more = len(problems) - len(shown)
    return "; ".join(shown) + (f"; and {more} more" if more else "")
