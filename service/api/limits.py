"""Rate limits per connection: a sliding window of our own, steered by response headers.

Two bounds hold at once. Our own: a request takes one of `limit` slots from the moment it is sent until one period
after its answer. Then no interval of a period's length has more than `limit` of our requests, wherever the server's
windows begin, at the price of one round trip a period. The server's: the count in its headers, for its current window,
plus what we have in flight, stays below the limit; that count has other users of the same token in it, and our own
requests before a restart. Where nothing is known (the first request, after a pause of a period, after a 429), one
request is sent alone.

`Budget` decides and is pure; `Limiter` waits.
"""

import asyncio
import re
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import msgspec

from manifests.entity import RateLimit
from service.api.exchange import Headers
from service.api.slots import Slots
from service.clock import Clock
from topics.errors import Retryable

WAIT_SECONDS_MAX = 90.0  # for a turn; a longer wait is Retryable, with the time
MARGIN_SECONDS = 0.02  # clocks of two machines differ a little over a period
LIMIT_MAX = 1_000_000  # what a header may say; more is not believed
PERIOD_SECONDS_MAX = 86_400

_LEADING_INTEGER = re.compile(r"\s*([0-9]{1,9})")
_UNTIL_AN_ANSWER = float("inf")

Sleep = Callable[[float], Awaitable[object]]


class Reading(msgspec.Struct, frozen=True):
    """What an answer says of the budget; None where it says nothing. `is_refused`: it was a 429."""

    limit: int | None = None
    count: int | None = None
    period: int | None = None
    is_refused: bool = False
    retry_after_seconds: float | None = None


def read_headers(
    headers: Headers, names: RateLimit, is_refused: bool = False, retry_after_seconds: float | None = None
) -> Reading:
    """The reading of an answer's headers; of `20 seconds` the leading integer counts."""
    return Reading(
        limit=_leading(headers, names.limit_header, LIMIT_MAX),
        count=_leading(headers, names.count_header, LIMIT_MAX),
        period=_leading(headers, names.period_header, PERIOD_SECONDS_MAX),
        is_refused=is_refused,
        retry_after_seconds=retry_after_seconds,
    )


def _leading(headers: Headers, name: str | None, most: int) -> int | None:
    found = _LEADING_INTEGER.match(headers.get(name, "")) if name else None
    value = int(found[1]) if found else 0
    return value if 1 <= value <= most else None


class Budget:
    """Who may send now. Times are seconds of one monotonic clock; no IO, no waiting.

    Each `sent` is followed by one `answered`, whatever became of the request.
    """

    def __init__(self, start: RateLimit) -> None:
        self._limit = start.requests
        self._period = float(start.seconds)
        self._is_counted = start.count_header is not None
        self._in_flight = 0
        self._answers: deque[float] = deque()  # when the last period's answers came; at most `limit` of them
        self._blocked_until = 0.0
        self._is_warned = False  # since a 429, until an answer that is none
        self._seen = 0  # the server's count, the highest seen of its window
        self._seen_at = 0.0
        self._window_ends = 0.0  # the server's window has ended by then

    def wait_seconds(self, now: float) -> float:
        """0: send. Infinity: until a request in flight is answered. Else: look again after so many seconds."""
        while self._answers and self._answers[0] + self._period + MARGIN_SECONDS <= now:
            self._answers.popleft()
        if now < self._blocked_until:
            return self._blocked_until - now
        is_unknown = self._is_warned or (self._is_counted and not self._answers)
        if is_unknown and self._in_flight:
            return _UNTIL_AN_ANSWER
        if len(self._answers) + self._in_flight >= self._limit:
            return self._answers[0] + self._period + MARGIN_SECONDS - now if self._answers else _UNTIL_AN_ANSWER
        if now < self._window_ends and self._seen + self._in_flight >= self._limit:
            return self._window_ends - now
        return 0.0

    def sent(self) -> None:
        self._in_flight += 1

    def answered(self, sent_at: float, now: float, reading: Reading | None) -> None:
        """A request sent at `sent_at` was answered now, or (no reading) failed without an answer."""
        self._in_flight -= 1
        self._answers.append(now)
        if reading is None:
            return
        if reading.period is not None:
            self._period = float(reading.period)
        if reading.count is not None:
            self._see(sent_at, now, reading.count, reading.limit)
        elif reading.limit is not None:
            self._limit = reading.limit
        self._is_warned = reading.is_refused
        if reading.is_refused:
            wait = self._period if reading.retry_after_seconds is None else reading.retry_after_seconds
            self._window_ends = self._blocked_until = max(self._blocked_until, now + wait)

    def _see(self, sent_at: float, now: float, count: int, limit: int | None) -> None:
        """Fit the server's count into the window that we know of, or open the next one.

        A window's count only grows: one that is not above an older answer's belongs to the next window, if it was
        asked for after that answer. The server opened its window before the first answer that it gave in it.
        """
        if count > self._seen and sent_at < self._window_ends:
            self._seen, self._seen_at = count, now
            self._limit = min(self._limit, limit or self._limit)
        elif sent_at >= min(self._seen_at, self._window_ends):
            self._seen, self._seen_at = count, now
            self._window_ends = now + self._period + MARGIN_SECONDS
            self._limit = limit or self._limit


class Limiter:
    """One connection's turns: at most `concurrency` requests in flight, those nearest to the beginning of their
    collections first.

    So pages that lie next to each other are read one after the other where the budget makes requests wait: the source
    has less time to move between them.
    """

    def __init__(self, name: str, limit: RateLimit, concurrency: int, clock: Clock, sleep: Sleep) -> None:
        self._name = name
        self.limit = limit
        self._budget = Budget(limit)
        self._clock = clock
        self._sleep = sleep
        self._slots = Slots(concurrency)
        self._queue = asyncio.Lock()
        self._answered = asyncio.Event()
        self._waiting = 0

    @property
    def is_idle(self) -> bool:
        return self._waiting == 0

    @asynccontextmanager
    async def turn(self, rank: int) -> AsyncIterator["Turn"]:
        """Waits for a turn; within, send the request, and call `Turn.read` with the answer's headers. Lower ranks
        come first.

        Retryable, with the time, if the turn is more than WAIT_SECONDS_MAX away.
        """
        self._waiting += 1
        try:
            await self._slots.take(rank)
            try:
                async with self._queue:
                    await self._wait()
                    self._budget.sent()
                turn, sent_at = Turn(self.limit), self._clock.monotonic()
                try:
                    yield turn
                finally:
                    self._budget.answered(sent_at, self._clock.monotonic(), turn.reading)
                    self._answered.set()
            finally:
                self._slots.give()
        finally:
            self._waiting -= 1

    async def _wait(self) -> None:
        while (seconds := self._budget.wait_seconds(self._clock.monotonic())) > 0:
            self._answered.clear()
            if seconds == _UNTIL_AN_ANSWER:
                await self._answered.wait()
            elif seconds > WAIT_SECONDS_MAX:
                raise Retryable(f"{self._name} may ask its API again in {seconds:.0f} s: the budget is spent", seconds)
            else:
                await self._sleep_or_answer(seconds)

    async def _sleep_or_answer(self, seconds: float) -> None:
        waits = [asyncio.ensure_future(self._sleep(seconds)), asyncio.ensure_future(self._answered.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()


class Turn:
    """One request's turn, and what its answer said of the budget."""

    def __init__(self, names: RateLimit) -> None:
        self._names = names
        self.reading: Reading | None = None

    def read(self, headers: Headers, is_refused: bool = False, retry_after_seconds: float | None = None) -> None:
        self.reading = read_headers(headers, self._names, is_refused, retry_after_seconds)
