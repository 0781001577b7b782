"""The budget against a small model of a server that counts in fixed windows."""

import asyncio
import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manifests.entity import RateLimit
from service.api.limits import MARGIN_SECONDS, WAIT_SECONDS_MAX, Budget, Limiter, Reading, read_headers
from tests.support.http import MovedClock
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

    seed: int = 1
    limit: int = 100
    period: int = 20
    concurrency: int = 8
    latency: tuple[float, float] = (0.01, 0.04)
    asks_per_second: float | None = None

    def __post_init__(self) -> None:
        self.server = WindowServer(self.limit, self.period)
        self.budget = Budget(RateLimit(requests=self.limit, seconds=self.period, count_header="X-Count"))
        self.draw = random.Random(self.seed)
        self.now = self.asks_at = 0.0
        self.looks_at = -1.0
        self.flying = self.refused = 0
        self.events: list[tuple[float, int, Callable[[], object]]] = []
        self.serial = count()

    def run(self, seconds: float) -> None:
        self._look()
        while self.events and self.events[0][0] <= seconds:
            self.now, _, happen = heapq.heappop(self.events)
            happen()

    def plan(self, at: float, happen: Callable[[], object]) -> None:
        heapq.heappush(self.events, (at, next(self.serial), happen))

    def _look(self) -> None:
        while self.flying < self.concurrency and self.now >= self.asks_at:
            wait = self.budget.wait_seconds(self.now)
            if wait > 0:
                self._look_again(self.now + wait)
                return
            self.flying += 1
            self.budget.sent()
            self._plan_behind_a_way(partial(self._arrive, self.now))
            if self.asks_per_second:
                self.asks_at = self.now + self.draw.expovariate(self.asks_per_second)
                self._look_again(self.asks_at)

    def _look_again(self, at: float) -> None:
        if at != UNTIL_AN_ANSWER and not self.now < self.looks_at <= at:
            self.looks_at = at
            self.plan(at, self._look)

    def _arrive(self, sent_at: float) -> None:
        reading = self.server.ask(self.now)
        self.refused += reading.is_refused
        self._plan_behind_a_way(partial(self._answer, sent_at, reading))

    def _answer(self, sent_at: float, reading: Reading) -> None:
        self.flying -= 1
        self.budget.answered(sent_at, self.now, reading)
        self._look()

    def _plan_behind_a_way(self, happen: Callable[[], object]) -> None:
        self.plan(self.now + self.draw.uniform(*self.latency), happen)


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
    at = World(seed, limit, period, concurrency, latency=(0.0, slowest), asks_per_second=pace)
    at.run(seconds=period * 12)
    assert at.server.refused == 0
    assert at.server.served > 0


@pytest.mark.parametrize("concurrency", [1, 8, 32])
def test_it_uses_nearly_all_of_the_budget(concurrency: int) -> None:
    at = World(concurrency=concurrency)
    at.run(seconds=2000)
    assert at.server.refused == 0
    assert at.server.served >= 0.97 * 100 * 2000 / 20


def test_after_a_restart_it_takes_over_the_servers_count() -> None:
    at = World()
    for _ in range(97):
        at.server.ask(0.0)
    at.run(seconds=60)
    assert at.server.refused == 0
    assert at.server.served > 97 + 3 + 100


def test_what_others_use_up_is_left_to_them() -> None:
    at = World()
    for second in range(0, 400):
        at.plan(second + 0.5, lambda: at.server.ask(at.now))
    at.run(seconds=400)
    assert at.refused <= 4  # they can take the last request while ours is on its way
    assert at.server.served >= 0.95 * 100 * 400 / 20


def test_requests_in_flight_take_up_budget() -> None:
    budget = Budget(RateLimit(requests=2, seconds=20))
    budget.sent()
    assert budget.wait_seconds(0.0) == 0
    budget.sent()
    assert budget.wait_seconds(0.0) == UNTIL_AN_ANSWER


def answered(budget: Budget, sent_at: float, now: float, reading: Reading | None) -> float:
    """How long the next request waits after this one."""
    budget.sent()
    budget.answered(sent_at, now, reading)
    return budget.wait_seconds(now)


ONE, UNCOUNTED = RateLimit(requests=1, seconds=20), RateLimit(requests=100, seconds=20)
PERIOD = 20 + MARGIN_SECONDS


@pytest.mark.parametrize(
    ("limit", "reading", "wait"),
    [
        pytest.param(ONE, Reading(), PERIOD, id="a slot comes back one period after the answer"),
        pytest.param(ONE, None, PERIOD, id="a request that failed is counted too"),
        pytest.param(PCO, Reading(100, 100), PERIOD, id="the server's count is believed when it is higher than ours"),
        pytest.param(PCO, Reading(75, 75, 20), PERIOD, id="a lower limit in the headers is kept to at once"),
        pytest.param(UNCOUNTED, Reading(1), PERIOD, id="a limit without a count is kept to as well"),
        pytest.param(PCO, Reading(100, 118, None, True, 19), 19, id="after a 429 nobody sends before its time"),
        pytest.param(PCO, Reading(is_refused=True), 20, id="a 429 without a time waits a period"),
    ],
)
def test_a_spent_budget_is_waited_for_as_long_as_it_takes(
    limit: RateLimit, reading: Reading | None, wait: float
) -> None:
    budget = Budget(limit)
    assert answered(budget, 0.0, 3.0, reading) == pytest.approx(wait)
    assert budget.wait_seconds(3.0 + wait + 0.1) == 0


def test_the_first_request_goes_ahead_alone() -> None:
    budget = Budget(PCO)
    budget.sent()
    assert budget.wait_seconds(0.0) == UNTIL_AN_ANSWER
    budget.answered(0.0, 0.1, Reading(limit=100, count=1))
    assert budget.wait_seconds(0.1) == 0


def test_a_late_answer_does_not_take_the_count_back() -> None:
    budget = Budget(PCO)
    answered(budget, 0.0, 0.1, Reading(limit=100, count=5))
    answered(budget, 0.2, 0.4, Reading(limit=100, count=100))
    assert answered(budget, 0.2, 0.5, Reading(limit=100, count=99)) > 19


def test_a_count_that_starts_again_frees_what_others_had_used() -> None:
    budget = Budget(PCO)
    budget.sent()
    answered(budget, 0.0, 0.1, Reading(limit=100, count=99))
    assert answered(budget, 5.0, 5.1, Reading(limit=100, count=1)) == 0


def test_after_a_429_one_request_goes_ahead_alone() -> None:
    budget = Budget(UNCOUNTED)
    answered(budget, 0.0, 0.1, Reading(is_refused=True, retry_after_seconds=1))
    budget.sent()
    assert budget.wait_seconds(2.0) == UNTIL_AN_ANSWER


@pytest.mark.parametrize("period", ["20", "20 seconds", " 20"])
def test_of_a_header_the_leading_integer_counts(period: str) -> None:
    headers = {"X-Limit": "100", "X-Count": "7", "X-Period": period}
    assert read_headers(headers, PCO) == Reading(100, 7, 20)


@pytest.mark.parametrize("value", ["", "0", "many", "-5", "99999999999"])
def test_a_header_without_sense_says_nothing(value: str) -> None:
    assert read_headers({"X-Limit": value, "X-Count": value, "X-Period": value}, PCO) == Reading()


def limiter(limit: RateLimit, concurrency: int = 8) -> tuple[Limiter, MovedClock]:
    clock = MovedClock()
    return Limiter("acme/pco", limit, concurrency, clock, clock.sleep), clock


async def take(limits: Limiter, headers: dict[str, str] | None = None) -> None:
    async with limits.turn(0) as turn:
        await asyncio.sleep(0)
        if headers is not None:
            turn.read(headers)


async def test_a_full_budget_is_waited_for() -> None:
    limits, clock = limiter(RateLimit(requests=2, seconds=20))
    await asyncio.gather(*(take(limits) for _ in range(5)))
    assert clock.seconds == pytest.approx(2 * PERIOD)


async def test_no_more_requests_are_in_flight_than_the_connection_allows() -> None:
    limits, _ = limiter(UNCOUNTED, concurrency=3)
    now, most = 0, 0

    async def ask() -> None:
        nonlocal now, most
        async with limits.turn(0):
            now += 1
            most = max(most, now)
            await asyncio.sleep(0)
            now -= 1

    await asyncio.gather(*(ask() for _ in range(20)))
    assert most == 3


async def test_the_second_request_waits_for_the_first_answer() -> None:
    limits, clock = limiter(PCO)
    headers = {"X-Limit": "100", "X-Count": "99", "X-Period": "20"}
    await asyncio.gather(*(take(limits, headers) for _ in range(3)))
    assert clock.slept == [pytest.approx(PERIOD)]


async def test_a_turn_too_far_away_is_given_back_with_its_time() -> None:
    limits, _ = limiter(RateLimit(requests=1, seconds=3600))
    await take(limits)
    with pytest.raises(Retryable, match="acme/pco") as caught:
        await take(limits)
    assert caught.value.after_seconds is not None
    assert caught.value.after_seconds > WAIT_SECONDS_MAX
    assert limits.is_idle


async def test_a_cancelled_request_gives_its_place_back() -> None:
    limits, _ = limiter(UNCOUNTED, concurrency=1)
    task = asyncio.create_task(take(limits))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await take(limits)
    assert limits.is_idle
