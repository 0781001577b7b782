"""Answers that a process refuses: one clear sentence, and memory that stays bounded, in a process of its own."""

import asyncio
import gzip
import re
import resource
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from agents.core.retry import PAGE
from service.api import client, http
from service.settings import read_settings
from tests.support.house import ROOT
from tests.support.loopback import Caller, Speak, answer, keeping, saying, server, server_tls
from tests.support.pages import read_page
from topics.errors import Rejected, Retryable

MB = 1_000_000
PIECE = b"x" * 65_536
BOMB = b"".join(gzip.compress(bytes(100 * MB)) for _ in range(10))
MOVED = (
    b"HTTP/1.1 302 Found\r\nLocation: https://sluice:pco-secret-77@other.example/x?key=pco-secret-77\r\n"
    b"Content-Length: 0\r\n\r\n"
)
WHAT = r"acme/pco: GET /people/v2/emails"


async def long_body(caller: Caller) -> None:
    await caller.hear()
    await caller.say(f"HTTP/1.1 200 OK\r\nContent-Length: {200 * MB}\r\n\r\n".encode())
    for _ in range(200 * MB // len(PIECE)):
        await caller.say(PIECE)


async def slow(caller: Caller) -> None:
    await caller.hear()
    await caller.say(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    while True:
        await caller.say(b"x")
        await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("speak", "is_tls", "growth_mb_max", "sentence"),
    [
        (
            keeping(answer(b"{}")),
            True,
            16,
            rf"Untrusted: {WHAT} was not sent: the certificate of 127.0.0.1:\d+ does "
            r"not verify \(UnknownIssuer\); if an authority of your own has signed it, set SLUICE_CA_FILE to .*",
        ),
        (
            saying(MOVED),
            False,
            16,
            rf"Rejected: {WHAT} answered 302 \(Found\) to other.example: redirects are not "
            "followed; put right base_url",
        ),
        (long_body, False, 100, rf"Rejected: {WHAT} had a body of more than 33554432 bytes; make the pages smaller"),
        (
            saying(answer(BOMB, "Content-Encoding: gzip")),
            False,
            100,
            rf"Rejected: {WHAT} had a body of more than "
            "33554432 bytes, unpacked; make the pages smaller",
        ),
        (
            saying(b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * MB + b"\r\n\r\n"),
            False,
            16,
            rf"Rejected: {WHAT} had headers "
            "of more than 417792 bytes, or more than 100 of them",
        ),
        (slow, False, 16, rf"Retryable: {WHAT} had no whole answer \(operation timed out\) \(attempt 6 of 6\)"),
    ],
    ids=["certificate", "redirect", "body of 200 MB", "gzip bomb", "header of 1 MB", "slow-loris"],
)
async def test_a_refusal_is_one_sentence_and_bounded(
    speak: Speak, is_tls: bool, growth_mb_max: int, sentence: str, tmp_path: Path
) -> None:
    async with server(speak, tls=server_tls() if is_tls else None) as there:
        base_url = there.url.partition("/x")[0]
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            __name__,
            base_url,
            cwd=ROOT,
            env={"SLUICE_CONNECTIONS": str(tmp_path / "c.yaml")},
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await process.communicate()
    assert process.returncode == 0
    said, growth_kb = output.decode().splitlines()
    assert int(growth_kb) < growth_mb_max * 1_000
    assert re.fullmatch(sentence, said), said
    assert "pco-secret-77" not in said


async def main(base_url: str) -> None:
    """Print the error of a page, and by how many KB the process has grown."""
    http.TOTAL_SECONDS = 0.5
    vars(client)["PAGE"] = replace(PAGE, longest_seconds=0.1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        await read_page(read_settings(), base_url)
    except (Rejected, Retryable) as error:
        print(f"{type(error).__name__}: {error}")
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
