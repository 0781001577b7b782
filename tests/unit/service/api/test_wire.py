"""A body's pieces, and one socket against a fake one."""

import asyncio
import gzip
import zlib

import pytest

from service.api import reply as replies
from service.api.reply import Body, Unreadable
from service.api.wire import Broke, Wire
from tests.support.loopback import answer


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("deflate", zlib.compress(b"one page")),
        ("deflate", zlib.compress(b"one page", wbits=-15)),
        ("GZIP", gzip.compress(b"one ") + gzip.compress(b"") + gzip.compress(b"page")),
        ("identity", b"one page"),
    ],
)
async def test_a_page_is_unpacked_byte_by_byte(encoding: str, packed: bytes) -> None:
    body = Body(encoding)
    for at in range(len(packed)):
        body.add(packed[at : at + 1])
    assert body.whole() == b"one page"


def test_a_page_of_too_many_members_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replies, "MEMBERS_MAX", 2)
    with pytest.raises(Unreadable, match="more than 2 members"):
        Body("gzip").add(gzip.compress(b"") * 3)


class Line(asyncio.Transport):
    """A socket's other half that only remembers."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.is_aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def abort(self) -> None:
        self.is_aborted = True


@pytest.fixture
async def line() -> Line:
    return Line()


@pytest.fixture
async def wire(line: Line) -> Wire:
    wire = Wire()
    wire.connection_made(line)
    return wire


async def test_an_answer_before_the_request_is_nobodys(wire: Wire, line: Line) -> None:
    wire.data_received(answer(b"wrong"))
    with pytest.raises(Broke) as caught:
        await wire.ask(b"GET")
    assert (caught.value.is_untouched, line.written, line.is_aborted) == (True, b"", True)


async def test_a_socket_that_is_lost_before_it_is_asked_says_so_at_once(wire: Wire, line: Line) -> None:
    wire.connection_lost(ConnectionResetError())
    with pytest.raises(Broke) as caught:
        await wire.ask(b"GET")
    assert (caught.value.is_untouched, line.written) == (True, b"")


async def test_a_cancellation_that_comes_after_the_answer_closes_the_socket(wire: Wire, line: Line) -> None:
    asking = asyncio.create_task(wire.ask(b"GET"))
    await asyncio.sleep(0)
    wire.data_received(answer(b"page"))
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    assert (asking.cancelled(), line.is_aborted, wire.is_open) == (True, True, False)
