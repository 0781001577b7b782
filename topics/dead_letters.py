"""Dead letters: messages that can never be handled, unchanged, with their origin and the reason in headers."""

from collections.abc import Sequence
from dataclasses import dataclass

from topics.catalog import RECORD_BYTES_MAX
from topics.codec import Headers
from topics.errors import REASON_CHARS_MAX

PREFIX = "sluice-dead-"
LETTER_BYTES_MAX = RECORD_BYTES_MAX - 20_000  # key, headers and value; a longer value is cut, which a header says
OFFSET_DIGITS_MAX = 20


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """`at` is when the broker took the message (Unix ms); topic, partition and offset say where it stands."""

    topic: str
    partition: int
    offset: int
    at: int
    reason: str
    key: bytes | None
    value: bytes | None
    headers: Headers


def to_record(letter: DeadLetter) -> tuple[bytes | None, bytes | None, Headers]:
    """Key, value and headers of the record in the dead-letter topic."""
    value = letter.value
    cut: Headers = ()
    other_bytes = len(letter.key or b"") + sum(len(name) + len(content or b"") for name, content in letter.headers)
    value_bytes_max = max(LETTER_BYTES_MAX - other_bytes, 0)
    if value is not None and len(value) > value_bytes_max:
        cut = ((PREFIX + "cut-from-bytes", str(len(value)).encode()),)
        value = value[:value_bytes_max]
    origin = (
        (PREFIX + "topic", letter.topic.encode()),
        (PREFIX + "partition", str(letter.partition).encode()),
        (PREFIX + "offset", str(letter.offset).encode()),
        (PREFIX + "at", str(letter.at).encode()),
        (PREFIX + "reason", letter.reason.encode(errors="replace")[:REASON_CHARS_MAX]),
    )
    kept = tuple((name, content) for name, content in letter.headers if not name.startswith(PREFIX))
    return letter.key, value, (*kept, *origin, *cut)


def from_record(key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes]]) -> DeadLetter:
    """The dead letter in a record of the dead-letter topic; what a header does not say is empty or 0."""
    said = {name.removeprefix(PREFIX): content or b"" for name, content in headers if name.startswith(PREFIX)}

    def number(name: str) -> int:
        content = said.get(name, b"")
        return int(content) if content.isdigit() and len(content) <= OFFSET_DIGITS_MAX else 0

    return DeadLetter(
        topic=said.get("topic", b"").decode(errors="replace"),
        partition=number("partition"),
        offset=number("offset"),
        at=number("at"),
        reason=said.get("reason", b"").decode(errors="replace"),
        key=key,
        value=value,
        headers=tuple((name, content) for name, content in headers if not name.startswith(PREFIX)),
    )
