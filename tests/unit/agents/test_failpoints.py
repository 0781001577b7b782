import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from agents.failpoints import Failpoint, Failpoints, parse_failpoints
from service.settings import read_settings
from topics.errors import Rejected

ROOT = Path(__file__).parents[3]


def armed(text: str) -> Failpoints:
    made = Failpoints()
    made.arm(parse_failpoints(text))
    return made


def test_a_point_an_action_and_an_arrival_are_read_and_written_the_same() -> None:
    read = parse_failpoints(" after_fetch=stall, report=drop@12")
    assert read == (Failpoint("after_fetch", "stall"), Failpoint("report", "drop", 12))
    assert [str(one) for one in read] == ["after_fetch=stall@1", "report=drop@12"]


@pytest.mark.parametrize("text", ["", "  "])
def test_without_failpoints_nothing_is_armed(text: str) -> None:
    assert armed(text).armed is False


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("after_lunch=crash", "there are: after_fetch, after_db_commit, .*, emit$"),
        ("report=explode", "there are: crash, stall, drop$"),
        ("after_fetch=drop", "points with one: report, emit$"),
        ("after_fetch", "not of the form"),
        ("after_fetch=crash@0", "not of the form"),
        ("after_fetch=crash,", "not of the form"),
        ("after_fetch=crash@1000001", "at most 1000000"),
        (",".join(["report=drop"] * 17), "17 failpoints are too many"),
    ],
)
def test_what_is_no_failpoint_is_rejected_with_what_there_is(text: str, why: str) -> None:
    with pytest.raises(Rejected, match=why):
        parse_failpoints(text)


def test_a_setting_takes_failpoints_that_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_FAILPOINTS", "report=drop@2")
    assert read_settings().failpoints == "report=drop@2"
    monkeypatch.setenv("SLUICE_FAILPOINTS", "after_lunch=crash")
    with pytest.raises(Rejected, match=r"SLUICE_FAILPOINTS: .*there is no failpoint 'after_lunch'"):
        read_settings()


@pytest.mark.parametrize(
    ("text", "points", "dropped"),
    [
        ("report=drop@2", ["report"] * 4, [False, True, False, False]),
        ("report=drop@1,report=drop@3", ["report"] * 3, [True, False, True]),
        ("report=drop@2,emit=drop@1", ["report", "emit", "report"], [False, True, True]),
    ],
)
async def test_a_point_fires_at_the_arrivals_that_were_named_and_counts_its_own(
    text: str, points: list[str], dropped: list[bool]
) -> None:
    made = armed(text)
    assert [await made.reach(point) for point in points] == dropped


async def test_a_stall_goes_no_further_and_leaves_the_loop_to_the_others() -> None:
    stalled = asyncio.create_task(armed("after_store=stall").reach("after_store"))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not stalled.done()
    stalled.cancel()


def test_a_crash_ends_the_process_at_once() -> None:
    program = """if True:
        import asyncio
        from agents.failpoints import failpoints, parse_failpoints
        failpoints.arm(parse_failpoints("report=crash"))
        asyncio.run(failpoints.reach("report"))
        print("goodbye")
    """
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, cwd=ROOT, timeout=60)
    assert (ended.returncode, ended.stdout) == (-signal.SIGKILL, b"")
