"""Encoding of commands: bytes and the headers beside them, and back.

Reading is tolerant with machines (unknown fields are ignored, headers may be missing) and strict about meaning:
whatever is not a command raises Rejected with a sentence that names the place.
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any, Union

from pydantic import Field, TypeAdapter, ValidationError

from topics.catalog import COMMAND_BYTES_MAX, Catalog
from topics.command import Command
from topics.errors import Rejected
from topics.ids import derive_id

Headers = tuple[tuple[str, bytes | None], ...]  # Kafka has headers without a value

ID_HEADER = "sluice-id"
SCHEMA_HEADER = "sluice-schema"
SENT_BY_HEADER = "sluice-sent-by"
TRACE_HEADER = "traceparent"
PROBLEMS_SHOWN_MAX = 3
VERSION_DIGITS_MAX = 4
TRACES_REMEMBERED_MAX = 10_000  # the least recently used is derived again
VALUE_SHOWN_MAX = 40  # bytes of a wrong value that a reason shows
_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")


def encode(command: Command) -> bytes:
    """The command as JSON, without fields that are None."""
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


class Decoder:
    """The commands in messages, for the topics of one catalogue."""

    def __init__(self, catalog: Catalog) -> None:
        self._commands: Mapping[str, Sequence[type[Command]]] = catalog.commands
        self._readers: dict[str, TypeAdapter[Any]] = {}  # by topic, each made when it is first needed

    def decode(self, topic: str, value: bytes | None, headers: Sequence[tuple[str, bytes | None]] = ()) -> Command:
        """The command in a message of `topic`. Rejected says what is wrong with it, and where."""
        reader = self._readers.get(topic) or self._reader(topic)
        if not value:
            raise Rejected(f"the message is empty: {topic} takes a JSON object")
        if len(value) > COMMAND_BYTES_MAX:
            raise Rejected(f"the message has {len(value)} bytes; {topic} takes at most {COMMAND_BYTES_MAX}")
        for name, content in headers:
            if name == SCHEMA_HEADER:
                self._check_version(topic, content or b"")  # Kafka has headers without a value
        try:
            command: Command = reader.validate_json(value)
        except ValidationError as error:
            raise Rejected(f"not a {topic} command: {_problems(error)}") from None
        return command

    def _reader(self, topic: str) -> TypeAdapter[Any]:
        models = self._commands.get(topic)
        if not models:
            raise Rejected(f"topic {topic!r} carries no commands")
        return self._readers.setdefault(topic, _adapter(models))

    def _check_version(self, topic: str, content: bytes) -> None:
        known = max(model.version for model in self._commands[topic])
        is_number = content.isdigit() and len(content) <= VERSION_DIGITS_MAX
        if not is_number or not 1 <= int(content) <= known:
            shown = content[:VALUE_SHOWN_MAX].decode(errors="replace")
            raise Rejected(
                f"schema version {shown!r} of {topic} is not known here (newest known: {known}); "
                "upgrade the workers before the producers"
            )


def _adapter(models: Sequence[type[Command]]) -> TypeAdapter[Any]:
    """Several models of one topic are distinguished by their `kind`."""
    if len(models) == 1:
        return TypeAdapter(models[0])
    union: Any = Annotated[Union[tuple(models)], Field(discriminator="kind")]  # noqa: UP007  # made at run time
    return TypeAdapter(union)


def _problems(error: ValidationError) -> str:
    problems = error.errors(include_url=False, include_input=False)
    shown = [
        f"{'.'.join(str(part) for part in problem['loc']) or 'message'}: {problem['msg']}"
        for problem in problems[:PROBLEMS_SHOWN_MAX]
    ]
    more = len(problems) - len(shown)
    return "; ".join(shown) + (f"; and {more} more" if more else "")
