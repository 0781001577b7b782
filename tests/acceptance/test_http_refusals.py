"""Answers that a process refuses: one clear sentence, and memory that stays bounded, in a process of its own."""

import asyncio
import gzip
import resource
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from agents.core.retry import PAGE
from service.api import client, http
from service.settings import read_settings
from tests.support.house import ROOT
from tests.support.loopback import Caller, Speak, answer, drip, saying, server
from tests.support.pages import read_page
from topics.errors import Rejected, Retryable

MB = 1_000_000
PIECE = b"x" * 65_536
BOMB = b"".join(gzip.compress(bytes(100 * MB)) for _ in range(10))


async def long_body(caller: Caller) -> None:
    await caller.hear()
    await caller.say(f"HTTP/1.1 200 OK\r\nContent-Length: {200 * MB}\r\n\r\n".encode())
    for _ in range(200 * MB // len(PIECE)):
        await caller.say(PIECE)


HAD = "Rejected: acme/pco: GET /people/v2/emails had"


@pytest.mark.parametrize(
    ("speak", "growth_mb_max", "sentence"),
    [
        (long_body, 100, f"{HAD} a body of more than 33554432 bytes; make the pages smaller"),
        (
            saying(answer(BOMB, "Content-Encoding: gzip")),
            100,
            f"{HAD} a body of more than 33554432 bytes, unpacked; make the pages smaller",
        ),
        (
            saying(b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * MB + b"\r\n\r\n"),
            16,
            f"{HAD} headers of more than 417792 bytes, or more than 100 of them",
        ),
        (
            drip,
            16,
            "Retryable: acme/pco: GET /people/v2/emails had no whole answer (operation timed out) (attempt 6 of 6)",
        ),
    ],
    ids=["body of 200 MB", "gzip bomb", "header of 1 MB", "slow-loris"],
)
async def test_a_refusal_is_one_sentence_and_bounded(
    speak: Speak, growth_mb_max: int, sentence: str, tmp_path: Path
) -> None:
    async with server(speak) as there:
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
    assert said == sentence


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
