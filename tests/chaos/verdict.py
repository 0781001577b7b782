"""The verdict of the independent checker: a program of its own that reads topics, database and simulator."""

import asyncio
import sys
from pathlib import Path

from tests.chaos.system import System
from tests.support.house import ROOT

CHECK_SECONDS_MAX = 180.0
INSTALL_SECONDS_MAX = 30.0
LINES_SHOWN_MAX = 25
LAST_LINES_SHOWN = 3


async def install_audit(system: System) -> None:
    """From now on the database writes down each page that is committed."""
    code, said = await _checker(INSTALL_SECONDS_MAX, "install", "--dsn", system.settings.sink)
    if code:
        raise RuntimeError(f"the checker's audit could not be installed: {said}")


async def check(system: System, report: Path) -> tuple[list[str], str]:
    """What the checker has found to be wrong (nothing, if all is well), and all that it printed."""
    code, said = await _checker(
        CHECK_SECONDS_MAX,
        "check",
        *("--bootstrap", system.brokers.bootstrap, "--dsn", system.settings.sink, "--simulator", system.simulator),
        *("--adapter", "pco", "--orgs", ",".join(system.orgs)),
        *("--produced", str(system.home / "produced.jsonl"), "--poison", str(system.poison.path)),
        *("--archive", str(system.home / "journal.jsonl")),
        *("--tables", str(system.tables), "--journal", str(system.journal), "--report", str(report)),
    )
    return _problems(code, report), said


def _problems(code: int, report: Path) -> list[str]:
    """Without its report, the checker has failed itself."""
    if code == 0:
        return []
    return ["the checker is not content" if report.exists() else f"the checker failed with code {code}"]


def shortened(said: str) -> str:
    """The first things that were found, and the sums at the end."""
    lines = said.splitlines()
    if len(lines) <= LINES_SHOWN_MAX:
        return said
    first, last = lines[: LINES_SHOWN_MAX - LAST_LINES_SHOWN], lines[-LAST_LINES_SHOWN:]
    return "\n".join([*first, f"... and {len(lines) - LINES_SHOWN_MAX} lines more ...", *last])


async def _checker(seconds: float, *arguments: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.checker", *arguments),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        said, _ = await asyncio.wait_for(process.communicate(), seconds)
    except TimeoutError:
        process.kill()
        await process.wait()
        return 1, f"the checker did not come to an end within {seconds:.0f} s"
    assert process.returncode is not None
    return process.returncode, said.decode(errors="replace").strip()
