"""A body's pieces: unpacked, and bounded both ways."""

import gzip
import zlib

import pytest

from service.api import body as module
from service.api.body import Body, TooLong, Unreadable

PACKED = gzip.compress(b"one page", mtime=0)


def whole(encoding: str, *pieces: bytes) -> bytes:
    body = Body(encoding)
    for piece in pieces:
        body.add(piece)
    return body.whole()


@pytest.mark.parametrize(
    ("encoding", "content", "page"),
    [
        ("", b"one page", b"one page"),
        ("identity", b"one page", b"one page"),
        (
            "GZIP",
            gzip.compress(b"one ", mtime=0) + gzip.compress(b"", mtime=0) + gzip.compress(b"page", mtime=0),
            b"one page",
        ),
        (" x-gzip ", PACKED, b"one page"),
        ("gzip", b"", b""),
    ],
)
def test_a_page_is_read_byte_by_byte(encoding: str, content: bytes, page: bytes) -> None:
    assert whole(encoding, *(content[at : at + 1] for at in range(len(content)))) == page


@pytest.mark.parametrize(
    ("encoding", "content", "why"),
    [
        ("gzip", PACKED[:-4], "not to its end"),
        ("gzip", PACKED + b"rest", "incorrect header"),
        ("gzip", b"\x1f\x8b no gzip", "Error -3"),
        ("deflate", zlib.compress(b"page"), "otherwise than asked for$"),
        ("gzip", gzip.compress(b"", mtime=0) * 3, "more than 2 members"),
    ],
)
def test_a_body_that_is_not_packed_as_its_header_says_is_unreadable(
    encoding: str, content: bytes, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MEMBERS_MAX", 2)
    with pytest.raises(Unreadable, match=why):
        whole(encoding, content)


@pytest.mark.parametrize(
    ("encoding", "content"),
    [("", b"x" * 1_001), ("gzip", gzip.compress(b"x" * 1_001, mtime=0)), ("gzip", gzip.compress(b"", mtime=0) * 51)],
)
def test_a_body_over_the_bound_is_too_long(encoding: str, content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BODY_BYTES_MAX", 1_000)
    assert len(whole("gzip", gzip.compress(b"x" * 1_000, mtime=0))) == 1_000
    with pytest.raises(TooLong, match="more than 1000 bytes"):
        whole(encoding, content)
