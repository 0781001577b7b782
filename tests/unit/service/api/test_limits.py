"""The budget against a small model of a server that counts in fixed windows."""

import asyncio
import heapq
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manifests.entity import RateLimit
from service.api.limits import MARGIN_SECONDS, WAIT_SECONDS_MAX, Budget, Limiter, Reading, read_headers
from topics.errors import Retryable

PCO = RateLimit(requests=100, seconds=20, limit_header="X-Limit", count_header="X-Count", period_header="X-Period")
UNTIL_AN_ANSWER = float("inf")


@dataclass
class WindowServer:
    """Counts from the first request of a window on, rejected ones too."""

    limit: int
    period: float
    opened_at: float = -1e9
    count: int = 0
    served: int = 0
    refused: int = 0

    def ask(self, now: float) -> Reading:
        if now >= self.opened_at + self.period:
            self.opened_at, self.count = now, 0
        self.count += 1
        if self.count > self.limit:
            self.refused += 1
            return Reading(self.limit, self.count, int(self.period), True, self.opened_at + self.period - now)
        self.served += 1
        return Reading(self.limit, self.count, int(self.period))


@dataclass
class World:
    """A greedy client of `concurrency` requests over a budget, and a server some way off. Moves from event to event."""

    server: WindowServer
    budget: Budget
    draw: random.Random
    concurrency: int
    latency: tuple[float, float]
    asks_per_second: float | None = None
    now: float = 0.0
    flying: int = 0
    refused: int = 0
    looks_at: float = -1.0
    asks_at: float = 0.0
    events: list[tuple[float, int, str, float, Reading | None]] = field(default_factory=list)
    serial: int = 0

    def run(self, seconds: float) -> None:
        self._plan(self.now, "look")
        while self.events and self.events[0][0] <= seconds:
            self.now, _, kind, sent_at, reading = heapq.heappop(self.events)
            if kind == "arrive":
                reading = self.server.ask(self.now)
                self.refused += reading.is_refused
                self._plan(self.now + self._way(), "answer", sent_at, reading)
            elif kind == "answer":
                self.flying -= 1
                self.budget.answered(sent_at, self.now, reading)
                self._look()
            elif kind == "other":
                self.server.ask(self.now)
            else:
                self._look()

    def _look(self) -> None:
        while self.flying < self.concurrency and self.now >= self.asks_at:
            wait = self.budget.wait_seconds(self.now)
            if wait > 0:
                self._look_again(self.now + wait)
                return
            self.flying += 1
            self.budget.sent()
            self._plan(self.now + self._way(), "arrive", self.now)
            if self.asks_per_second:
                self.asks_at = self.now + self.draw.expovariate(self.asks_per_second)
                self._look_again(self.asks_at)

    def _look_again(self, at: float) -> None:
        if at != UNTIL_AN_ANSWER and not self.now < self.looks_at <= at:
            self.looks_at = at
            self._plan(at, "look")

    def _way(self) -> float:
        return self.draw.uniform(*self.latency)

    def _plan(self, at: float, kind: str, sent_at: float = 0.0, reading: Reading | None = None) -> None:
        self.serial += 1
        heapq.heappush(self.events, (at, self.serial, kind, sent_at, reading))


def world(seed: int = 1, limit: int = 100, period: int = 20, concurrency: int = 8, **more: object) -> World:
    start = RateLimit(requests=limit, seconds=period, count_header="X-Count")
    latency = more.pop("latency", (0.01, 0.04))
    return World(
        WindowServer(limit, period),
        Budget(start),
        random.Random(seed),
        concurrency,
        latency,  # type: ignore[arg-type]  # a pair, out of **more
        **more,  # type: ignore[arg-type]  # fields of World
    )


@settings(max_examples=300, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    limit=st.integers(1, 40),
    period=st.integers(1, 20),
    concurrency=st.integers(1, 12),
    slowest=st.floats(0.001, 5.0),
    pace=st.one_of(st.none(), st.floats(0.2, 50.0)),
)
def test_alone_on_its_token_it_never_meets_a_429(
    seed: int, limit: int, period: int, concurrency: int, slowest: float, pace: float | None
) -> None:
    at = world(seed, limit, period, concurrency, latency=(0.0, slowest), asks_per_second=pace)
    at.run(seconds=period * 12)
    assert at.server.refused == 0
    assert at.server.served > 0


@pytest.mark.parametrize("concurrency", [1, 8, 32])
def test_it_uses_nearly_all_of_the_budget(concurrency: int) -> None:
    at = world(concurrency=concurrency)
    at.run(seconds=2000)
    assert at.server.refused == 0
    assert at.server.served >= 0.97 * 100 * 2000 / 20


def test_after_a_restart_it_takes_over_the_servers_count() -> None:
    at = world()
    for _ in range(97):
        at.server.ask(0.0)
    at.run(seconds=60)
    assert at.server.refused == 0
    assert at.server.served > 97 + 3 + 100


def test_what_others_use_up_is_left_to_them() -> None:
    at = world()
    for second in range(0, 400):
        at._plan(second + 0.5, "other")
    at.run(seconds=400)
    assert at.refused <= 4  # they can take the last request while ours is on its way
    assert at.server.served >= 0.95 * 100 * 400 / 20


def test_requests_in_flight_take_up_budget() -> None:
    budget = Budget(RateLimit(requests=2, seconds=20))
    budget.sent()
    assert budget.wait_seconds(0.0) == 0
    budget.sent()
    assert budget.wait_seconds(0.0) == UNTIL_AN_ANSWER


def test_a_slot_comes_back_one_period_after_the_answer() -> None:
    budget = Budget(RateLimit(requests=1, seconds=20))
    budget.sent()
    budget.answered(0.0, 3.0, Reading())
    assert budget.wait_seconds(3.0) == pytest.approx(20 + MARGIN_SECONDS)
    assert budget.wait_seconds(23.1) == 0


def test_the_first_request_goes_ahead_alone() -> None:
    budget = Budget(PCO)
    budget.sent()
    assert budget.wait_seconds(0.0) == UNTIL_AN_ANSWER
    budget.answered(0.0, 0.1, Reading(limit=100, count=1))
    assert budget.wait_seconds(0.1) == 0


def test_a_request_that_failed_is_counted_too() -> None:
    budget = Budget(RateLimit(requests=1, seconds=20))
    budget.sent()
    budget.answered(0.0, 1.0, None)
    assert budget.wait_seconds(1.0) > 19


def test_the_servers_count_is_believed_when_it_is_higher_than_ours() -> None:
    budget = Budget(PCO)
    budget.sent()
    budget.answered(0.0, 0.1, Reading(limit=100, count=100))
    assert budget.wait_seconds(0.1) == pytest.approx(20 + MARGIN_SECONDS)


def test_a_late_answer_does_not_take_the_count_back() -> None:
    budget = Budget(PCO)
    budget.sent()
    budget.answered(0.0, 0.1, Reading(limit=100, count=5))
    budget.sent()
    budget.sent()
    budget.answered(0.2, 0.4, Reading(limit=100, count=100))
    budget.answered(0.2, 0.5, Reading(limit=100, count=99))
    assert budget.wait_seconds(0.5) > 19


def test_a_count_that_starts_again_frees_what_others_had_used() -> None:
    budget = Budget(PCO)
    budget.sent()
    budget.sent()
    budget.answered(0.0, 0.1, Reading(limit=100, count=99))
    budget.sent()
    budget.answered(5.0, 5.1, Reading(limit=100, count=1))
    assert budget.wait_seconds(5.1) == 0


def test_a_lower_limit_in_the_headers_is_kept_to_at_once() -> None:
    budget = Budget(PCO)
    budget.sent()
    budget.answered(0.0, 0.1, Reading(limit=75, count=75, period=20))
    assert budget.wait_seconds(0.1) > 19


def test_a_limit_without_a_count_is_kept_to_as_well() -> None:
    budget = Budget(RateLimit(requests=100, seconds=20))
    budget.sent()
    budget.answered(0.0, 0.1, Reading(limit=1))
    assert budget.wait_seconds(0.1) > 19


def test_after_a_429_nobody_sends_before_its_time() -> None:
    budget = Budget(PCO)
    budget.sent()
    budget.answered(0.0, 0.1, Reading(limit=100, count=118, is_refused=True, retry_after_seconds=19))
    assert budget.wait_seconds(0.1) == pytest.approx(19)
    assert budget.wait_seconds(19.2) == 0


def test_a_429_without_a_time_waits_a_period() -> None:
    budget = Budget(PCO)
    budget.sent()
    budget.answered(0.0, 0.1, Reading(is_refused=True))
    assert budget.wait_seconds(0.1) == pytest.approx(20)


def test_after_a_429_one_request_goes_ahead_alone() -> None:
    budget = Budget(RateLimit(requests=100, seconds=20))
    budget.sent()
    budget.answered(0.0, 0.1, Reading(is_refused=True, retry_after_seconds=1))
    budget.sent()
    assert budget.wait_seconds(2.0) == UNTIL_AN_ANSWER


@pytest.mark.parametrize("period", ["20", "20 seconds", " 20"])
def test_of_a_header_the_leading_integer_counts(period: str) -> None:
    headers = {"X-Limit": "100", "X-Count": "7", "X-Period": period}
    assert read_headers(headers, PCO) == Reading(100, 7, 20)


@pytest.mark.parametrize("value", ["", "0", "many", "-5", "99999999999"])
def test_a_header_without_sense_says_nothing(value: str) -> None:
    assert read_headers({"X-Limit": value, "X-Count": value, "X-Period": value}, PCO) == Reading()


class MovedClock:
    """A clock that its own `sleep` moves."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.slept: list[float] = []

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.seconds += seconds
        await asyncio.sleep(0)


async def take(limiter: Limiter, headers: dict[str, str] | None = None) -> None:
    async with limiter.turn() as turn:
        await asyncio.sleep(0)
        if headers is not None:
            turn.read(headers)


async def test_a_full_budget_is_waited_for() -> None:
    clock = MovedClock()
    limiter = Limiter("acme/pco", RateLimit(requests=2, seconds=20), 8, clock, clock.sleep)
    await asyncio.gather(*(take(limiter) for _ in range(5)))
    assert clock.seconds == pytest.approx(2 * (20 + MARGIN_SECONDS))


async def test_no_more_requests_are_in_flight_than_the_connection_allows() -> None:
    clock = MovedClock()
    limiter = Limiter("acme/pco", RateLimit(requests=100, seconds=20), 3, clock, clock.sleep)
    now, most = 0, 0

    async def ask() -> None:
        nonlocal now, most
        async with limiter.turn():
            now += 1
            most = max(most, now)
            await asyncio.sleep(0)
            now -= 1

    await asyncio.gather(*(ask() for _ in range(20)))
    assert most == 3


async def test_the_second_request_waits_for_the_first_answer() -> None:
    clock = MovedClock()
    limiter = Limiter("acme/pco", PCO, 8, clock, clock.sleep)
    headers = {"X-Limit": "100", "X-Count": "99", "X-Period": "20"}
    await asyncio.gather(take(limiter, headers), take(limiter, headers), take(limiter, headers))
    assert clock.slept == [pytest.approx(20 + MARGIN_SECONDS)]


async def test_a_turn_too_far_away_is_given_back_with_its_time() -> None:
    clock = MovedClock()
    limiter = Limiter("acme/pco", RateLimit(requests=1, seconds=3600), 8, clock, clock.sleep)
    await take(limiter)
    with pytest.raises(Retryable, match="acme/pco") as caught:
        await take(limiter)
    assert caught.value.after_seconds is not None
    assert caught.value.after_seconds > WAIT_SECONDS_MAX
    assert limiter.is_idle


async def test_a_cancelled_request_gives_its_place_back() -> None:
    clock = MovedClock()
    limiter = Limiter("acme/pco", RateLimit(requests=10, seconds=20), 1, clock, clock.sleep)
    task = asyncio.create_task(take(limiter))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await take(limiter)
    assert limiter.is_idle
