"""Dead letters: messages that can never be handled, as they came, with their origin and the reason in headers.

A dead letter always fits its topic. What is too long in a message is cut, and what is cut is named by its length and
its digest: whoever has the message can see that it is this one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from topics.catalog import RECORD_BYTES_MAX
from topics.codec import Headers
from topics.errors import REASON_CHARS_MAX

PREFIX = "sluice-dead-"
CUT = "cut-"  # of the parts that were cut: sluice-dead-cut-key and so on
PARTS = ("key", "headers", "value")
KEY_BYTES_MAX = 10_000
HEADERS_MAX = 100  # those that fit, in their order; the others are left out
HEADERS_BYTES_MAX = 50_000  # names and contents
ORIGIN_BYTES_MAX = 20_000  # our own headers, and what Kafka adds to each record and header
VALUE_BYTES_MAX = RECORD_BYTES_MAX - KEY_BYTES_MAX - HEADERS_BYTES_MAX - ORIGIN_BYTES_MAX
OFFSET_DIGITS_MAX = 20


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """`at` is when the broker took the message (Unix ms); topic, partition and offset say where it stands.

    `cut` names each part that was cut, with its length and digest.
    """

    topic: str
    partition: int
    offset: int
    at: int
    reason: str
    key: bytes | None
    value: bytes | None
    headers: Headers
    cut: tuple[str, ...] = ()


def to_record(letter: DeadLetter) -> tuple[bytes | None, bytes | None, Headers]:
    """Key, value and headers of the record in the dead-letter topic: at most RECORD_BYTES_MAX, whatever came in."""
    theirs = tuple((name, content) for name, content in letter.headers if not name.startswith(PREFIX))
    kept, left_out = _fitting(theirs)
    cuts: list[tuple[str, bytes]] = []
    for part, content, bytes_max in (("key", letter.key, KEY_BYTES_MAX), ("value", letter.value, VALUE_BYTES_MAX)):
        if content is not None and len(content) > bytes_max:
            cuts.append((part, _digest([content])))
    if left_out:
        cuts.append(("headers", b"%d of %d left out, %s" % (len(left_out), len(theirs), _digest(_framed(left_out)))))
    origin = (
        (PREFIX + "topic", letter.topic.encode()),
        (PREFIX + "partition", str(letter.partition).encode()),
        (PREFIX + "offset", str(letter.offset).encode()),
        (PREFIX + "at", str(letter.at).encode()),
        (PREFIX + "reason", letter.reason.encode(errors="replace")[:REASON_CHARS_MAX]),
        *((PREFIX + CUT + part, said) for part, said in cuts),
    )
    key = None if letter.key is None else letter.key[:KEY_BYTES_MAX]
    value = None if letter.value is None else letter.value[:VALUE_BYTES_MAX]
    return key, value, (*kept, *origin)


def from_record(key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes | None]]) -> DeadLetter:
    """The dead letter in a record of the dead-letter topic; what a header does not say is empty or 0."""
    said = {name.removeprefix(PREFIX): content or b"" for name, content in headers if name.startswith(PREFIX)}

    def text(name: str) -> str:
        return said.get(name, b"").decode(errors="replace")

    def number(name: str) -> int:
        content = said.get(name, b"")
        return int(content) if content.isdigit() and len(content) <= OFFSET_DIGITS_MAX else 0

    return DeadLetter(
        topic=text("topic"),
        partition=number("partition"),
        offset=number("offset"),
        at=number("at"),
        reason=text("reason"),
        key=key,
        value=value,
        headers=tuple((name, content) for name, content in headers if not name.startswith(PREFIX)),
        cut=tuple(f"{part}: {text(CUT + part)}" for part in PARTS if CUT + part in said),
    )


def _fitting(headers: Headers) -> tuple[Headers, Headers]:
    """The headers that fit, in their order, and the others."""
    kept: list[tuple[str, bytes | None]] = []
    left_out: list[tuple[str, bytes | None]] = []
    bytes_kept = 0
    for name, content in headers:
        size = len(name.encode(errors="replace")) + len(content or b"")
        if len(kept) < HEADERS_MAX and bytes_kept + size <= HEADERS_BYTES_MAX:
            kept.append((name, content))
            bytes_kept += size
        else:
            left_out.append((name, content))
    return tuple(kept), tuple(left_out)


def _framed(headers: Headers) -> Iterable[bytes]:
    """Names and contents, each behind its length and a colon; a content that is not there has none."""
    for name, content in headers:
        named = name.encode(errors="replace")
        yield b"%d:%s" % (len(named), named)
        yield b":" if content is None else b"%d:%s" % (len(content), content)


def _digest(contents: Iterable[bytes]) -> bytes:
    digest, length = sha256(), 0
    for content in contents:
        digest.update(content)
        length += len(content)
    return b"%d bytes, sha256 %s" % (length, digest.hexdigest().encode())
