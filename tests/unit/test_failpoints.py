import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from agents.failpoints import MESSAGES, Failpoint, Failpoints, parse_failpoints
from service.settings import read_settings
from topics.errors import Rejected

ROOT = Path(__file__).parents[2]


def armed(text: str) -> Failpoints:
    made = Failpoints()
    made.arm(parse_failpoints(text))
    return made


def test_a_point_an_action_and_an_arrival_are_read() -> None:
    assert parse_failpoints(" after_fetch=stall, tell=drop@12") == (
        Failpoint("after_fetch", "stall"),
        Failpoint("tell", "drop", 12),
    )


def test_what_is_read_is_written_the_same() -> None:
    assert [str(one) for one in parse_failpoints("emit=drop@2,after_flush=crash")] == [
        "emit=drop@2",
        "after_flush=crash@1",
    ]


@pytest.mark.parametrize("text", ["", "  "])
def test_nothing_said_is_nothing_armed(text: str) -> None:
    assert armed(text).armed is False


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("after_lunch=crash", "there are: after_fetch, after_db_commit, .*, emit$"),
        ("tell=explode", "there are: crash, stall, drop$"),
        ("after_fetch=drop", "points with one: tell, emit$"),
        ("after_fetch", "not of the form"),
        ("after_fetch=crash@0", "not of the form"),
        ("after_fetch=crash,", "not of the form"),
        ("after_fetch=crash@1000001", "at most 1000000"),
        (",".join(["tell=drop"] * 17), "17 failpoints are too many"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_what_there_is(text: str, why: str) -> None:
    with pytest.raises(Rejected, match=why):
        parse_failpoints(text)


def test_a_wrong_failpoint_is_a_wrong_setting() -> None:
    with pytest.raises(Rejected, match=r"SLUICE_FAILPOINTS: .*there is no failpoint 'after_lunch'"):
        read_settings({"SLUICE_FAILPOINTS": "after_lunch=crash"})


def test_a_right_failpoint_is_a_setting() -> None:
    assert read_settings({"SLUICE_FAILPOINTS": "tell=drop@2"}).failpoints == "tell=drop@2"


async def test_only_the_asked_for_arrival_is_swallowed() -> None:
    made = armed("tell=drop@2")
    assert [await made.reach("tell") for _ in range(4)] == [False, True, False, False]


async def test_each_point_counts_its_own_arrivals() -> None:
    made = armed("tell=drop@2,emit=drop@1")
    assert [await made.reach(point) for point in ("tell", "emit", "tell")] == [False, True, True]


async def test_one_point_may_fire_at_several_arrivals() -> None:
    made = armed("tell=drop@1,tell=drop@3")
    assert [await made.reach("tell") for _ in range(3)] == [True, False, True]


async def test_a_stall_goes_no_further_and_leaves_the_loop_to_the_others() -> None:
    stalled = asyncio.create_task(armed("after_store=stall").reach("after_store"))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not stalled.done()
    stalled.cancel()


def test_a_crash_leaves_no_time_to_say_goodbye() -> None:
    program = """if True:
        import asyncio
        from agents.failpoints import failpoints, parse_failpoints
        failpoints.arm(parse_failpoints("tell=crash"))
        asyncio.run(failpoints.reach("tell"))
        print("goodbye")
    """
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, cwd=ROOT, timeout=60)
    assert (ended.returncode, ended.stdout) == (-signal.SIGKILL, b"")


def test_a_message_can_be_dropped_wherever_one_is_on_its_way() -> None:
    assert [one.point for one in parse_failpoints(",".join(f"{point}=drop" for point in MESSAGES))] == [*MESSAGES]
