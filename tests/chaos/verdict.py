"""The independent checker, asked: a program of its own that reads topics, database and simulator."""

import asyncio
import sys
from pathlib import Path

from tests.chaos.processes import ROOT
from tests.chaos.site import Site

CHECK_SECONDS_MAX = 180.0
INSTALL_SECONDS_MAX = 30.0
LINES_SHOWN_MAX = 25
LAST_LINES_SHOWN = 3


async def install_audit(site: Site) -> None:
    """From now on the database writes down each page that is committed."""
    code, said = await _checker(INSTALL_SECONDS_MAX, "install", "--dsn", site.settings.sink)
    if code:
        raise RuntimeError(f"the checker's audit could not be installed: {said}")


async def check(site: Site, report: Path) -> tuple[list[str], str]:
    """What the checker has found to be wrong (nothing, if all is well), and all that it said."""
    code, said = await _checker(
        CHECK_SECONDS_MAX,
        "check",
        *("--bootstrap", site.brokers.bootstrap, "--dsn", site.settings.sink, "--simulator", site.simulator),
        *("--adapter", "pco", "--orgs", ",".join(site.orgs)),
        *("--produced", str(site.home / "produced.jsonl"), "--poison", str(site.poison.path)),
        *("--tables", str(site.tables), "--journal", str(site.journal), "--report", str(report)),
    )
    return ([] if code == 0 else ["the checker is not content"]), said


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
