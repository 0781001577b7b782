"""When a process ends itself: something waits and does not move, for as long as somebody looked."""

from collections.abc import Hashable
from typing import Any

import pytest
from aiokafka.errors import KafkaTimeoutError

import agents.faust.watchdog as watchdog
from agents.faust.watchdog import LOOK_SECONDS, Probe, Progress, watch_progress
from service.fetcher.liveness import Liveness, WatchedTransport
from service.kafka.unread import unread
from topics.errors import Retryable

BOUND = 100.0


class Watched:
    """Looked at every few seconds, until so much time has passed."""

    def __init__(self) -> None:
        self.progress = Progress()
        self.now = 0.0

    def look(self, *probes: Probe) -> str | None:
        self.now += LOOK_SECONDS
        return self.progress.stuck(self.now, probes)

    def stays(self, seconds: float, waiting: int | None, mark: Hashable = 0, what: str = "records") -> str | None:
        """What is said at last, if nothing changes for so long."""
        said = None
        for _ in range(int(seconds / LOOK_SECONDS)):
            said = self.look(Probe(what, waiting, mark, BOUND))
        return said


def test_what_waits_and_does_not_move_is_named_with_how_much_and_how_long() -> None:
    assert Watched().stays(110, 7) == "records: 7 waiting, and nothing has moved for 105 s"


def test_up_to_the_bound_nothing_is_said() -> None:
    assert Watched().stays(105, 7) is None


def test_nothing_that_waits_may_stand_still_for_ever() -> None:
    assert Watched().stays(1_000, 0) is None


def test_whatever_moves_may_have_as_much_waiting_as_it_likes() -> None:
    watched = Watched()
    assert [watched.stays(90, 1_000_000, mark) for mark in range(20)] == [None] * 20


def test_something_that_had_nothing_to_do_has_its_whole_time_when_work_comes() -> None:
    watched = Watched()
    watched.stays(1_000, 0)
    assert watched.stays(100, 1) is None


def test_where_nobody_can_say_how_much_waits_what_was_known_last_stands() -> None:
    watched = Watched()
    watched.stays(60, 3)
    assert watched.stays(60, None) == "records: 3 waiting, and nothing has moved for 115 s"


def test_of_what_was_never_known_to_wait_nothing_is_said() -> None:
    assert Watched().stays(1_000, None) is None


def test_one_that_moves_does_not_cover_up_for_another() -> None:
    watched, said = Watched(), None
    for mark in range(30):
        said = watched.look(Probe("page-done/1", 5, 0, BOUND), Probe("page-done/2", 5, mark, BOUND))
    assert said == "page-done/1: 5 waiting, and nothing has moved for 145 s"


def test_what_is_not_ours_for_a_while_starts_anew_when_it_is_again() -> None:
    watched = Watched()
    watched.stays(90, 5)
    watched.look()
    assert watched.stays(90, 5) is None


def test_a_machine_that_slept_has_not_stood_still() -> None:
    watched = Watched()
    watched.stays(60, 5)
    watched.now += 86_400
    assert watched.stays(20, 5) is None


async def test_the_process_ends_with_a_code_of_its_own_and_a_last_sentence(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def leave(code: int) -> None:
        raise SystemExit(code)

    async def look() -> list[Probe]:
        return [Probe("commits", 2, 0, 0.0)]

    monkeypatch.setattr(watchdog, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr("os._exit", leave)
    with pytest.raises(SystemExit, match="73"):
        await watch_progress(look)
    assert "commits: 2 waiting, and nothing has moved for 0 s" in caplog.messages[-1]


class Partitions:
    """A consumer of two partitions, one read to its end and one not."""

    async def end_offsets(self, partitions: list[str]) -> dict[str, int]:
        return dict.fromkeys(partitions, 10)

    async def position(self, partition: str) -> int:
        return {"a": 10, "b": 7}[partition]

    def assignment(self) -> frozenset[str]:
        return frozenset("ab")


class Unreachable(Partitions):
    async def end_offsets(self, partitions: list[str]) -> dict[str, int]:
        raise KafkaTimeoutError


async def test_unread_is_what_the_broker_has_behind_our_positions() -> None:
    assert await unread(Partitions()) == 3


async def test_without_an_answer_of_the_broker_nobody_knows_what_is_unread() -> None:
    assert await unread(Unreachable()) is None


class Down:
    async def exchange(self, *args: Any) -> Any:
        raise Retryable("down")

    async def close(self) -> None: ...


async def test_an_api_that_is_down_gives_signs_of_life_as_long_as_it_is_asked() -> None:
    signs = Liveness()
    with pytest.raises(Retryable):
        await WatchedTransport(Down(), signs).exchange("a page", "GET", "http://127.0.0.1", {})
    await signs.sleep(0)
    assert signs.count == 3
