import asyncio
import sys
from collections.abc import Callable, Coroutine, Hashable
from typing import Any

import pytest

from agents import watchdog
from agents.watchdog import CHECK_SECONDS, FreezeDetector, Probe, ProgressWatch, run_beside, watch_progress
from topics.errors import Broken, Retryable

BOUND = 100.0


class Watched:
    """Checked every few seconds, until so much time has passed."""

    def __init__(self) -> None:
        self.watch = ProgressWatch()
        self.now = 0.0

    def check(self, *probes: Probe) -> str | None:
        self.now += CHECK_SECONDS
        return self.watch.stuck(self.now, probes)

    def stays(self, seconds: float, waiting: int | None, progress: Hashable = 0, name: str = "records") -> str | None:
        """The reason to end at last, if nothing changes for so long."""
        reason = None
        for _ in range(int(seconds / CHECK_SECONDS)):
            reason = self.check(Probe(name, waiting, progress, BOUND))
        return reason


@pytest.mark.parametrize(
    ("seconds", "waiting", "reason"),
    [
        (110, 7, "records: 7 waiting, and no progress for 105 s"),
        (105, 7, None),
        (1_000, 0, None),
        (1_000, None, None),  # it was never known to wait
    ],
)
def test_what_waits_without_progress_for_too_long_is_the_reason_to_end(
    seconds: float, waiting: int | None, reason: str | None
) -> None:
    assert Watched().stays(seconds, waiting) == reason


def test_whatever_makes_progress_may_have_as_much_waiting_as_it_likes() -> None:
    watched = Watched()
    assert [watched.stays(90, 1_000_000, progress) for progress in range(20)] == [None] * 20


def test_something_that_had_nothing_to_do_has_its_whole_time_when_work_comes() -> None:
    watched = Watched()
    watched.stays(1_000, 0)
    assert watched.stays(100, 1) is None


def test_where_nobody_can_say_how_much_waits_the_last_known_value_counts() -> None:
    watched = Watched()
    watched.stays(60, 3)
    assert watched.stays(60, None) == "records: 3 waiting, and no progress for 115 s"


def test_one_that_makes_progress_does_not_cover_up_for_another() -> None:
    watched, reason = Watched(), None
    for progress in range(30):
        reason = watched.check(Probe("page-done/1", 5, 0, BOUND), Probe("page-done/2", 5, progress, BOUND))
    assert reason == "page-done/1: 5 waiting, and no progress for 145 s"


def test_of_the_time_in_which_a_machine_slept_only_as_much_counts_as_a_check_may_take() -> None:
    watched = Watched()
    watched.stays(10, 5)
    watched.now += 86_400
    assert watched.stays(75, 5) is None
    assert watched.check(Probe("records", 5, 0, BOUND)) == "records: 5 waiting, and no progress for 105 s"


def test_what_is_not_ours_for_a_while_starts_anew_when_it_is_again() -> None:
    watched = Watched()
    watched.stays(90, 5)
    watched.check()
    assert watched.stays(90, 5) is None


async def test_the_process_ends_with_a_code_of_its_own_and_a_last_sentence(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def probes() -> list[Probe]:
        return [Probe("commits", 2, 0, 0.0)]

    monkeypatch.setattr("os._exit", sys.exit)
    monkeypatch.setattr(watchdog, "CHECK_SECONDS", 0.0)
    with pytest.raises(SystemExit, match="73"):
        await watch_progress(probes)
    assert caplog.messages[-1].startswith("commits: 2 waiting, and no progress for 0 s: this process ends")


def test_a_process_that_was_not_seen_for_its_session_has_ended_and_one_that_was_lives_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("os._exit", sys.exit)
    detector = FreezeDetector()
    detector._seen_at -= 20
    detector.check(30)
    with pytest.raises(SystemExit, match="72"):
        detector.check(10)
    detector.seen()
    detector.check(10)


async def for_ever() -> None:
    await asyncio.Event().wait()


async def main() -> None:
    await asyncio.sleep(0)


async def fails() -> None:
    raise Retryable("the database is away")


async def cancels() -> None:
    raise asyncio.CancelledError


@pytest.mark.parametrize(
    ("aside", "cause"), [(main, "None"), (fails, r"Retryable\('the database is away'\)"), (cancels, "None")]
)
async def test_a_task_beside_the_main_one_that_ends_stops_the_process(
    aside: Callable[[], Coroutine[Any, Any, None]], cause: str
) -> None:
    left = asyncio.Event()

    async def work() -> None:
        try:
            await for_ever()
        finally:
            left.set()

    why = f"a task that watches the process, or commits for it, has ended: {cause}"
    with pytest.raises(Broken, match=why):
        await run_beside(work(), for_ever(), aside())
    assert left.is_set()


async def test_the_others_are_cancelled_when_the_main_task_has_ended_and_its_error_is_the_processs() -> None:
    await run_beside(main(), for_ever())
    with pytest.raises(Retryable, match="the database is away"):
        await run_beside(fails(), for_ever())
    assert len(asyncio.all_tasks()) == 1
