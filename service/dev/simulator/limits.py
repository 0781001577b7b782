"""Rate limit: a fixed window for each organisation, which begins with its first request."""

import math
from dataclasses import dataclass

from service.dev.simulator.config import SimulatorConfig
from service.dev.simulator.responses import Header, Response, too_many

DEEP_OFFSET = 30_000
NO_LIMIT = 1_000_000  # in the headers while the limit is off: clients adapt to them


@dataclass(slots=True)
class Window:
    started: float
    count: int = 0


class Limiter:
    """Counts every request of an organisation, rejected ones included."""

    def __init__(self, config: SimulatorConfig) -> None:
        self._is_on = config.rate_limit
        self._limit = config.rate_requests if config.rate_limit else NO_LIMIT
        self._limit_deep = min(self._limit, config.rate_requests_deep) if config.rate_limit else NO_LIMIT
        self._seconds = config.rate_seconds
        self._windows: dict[str, Window] = {}
        words = " seconds" if config.rate_period == "words" else ""
        self._period = f"{config.rate_seconds}{words}".encode()

    def take(self, org: str, now: float, offset: int) -> tuple[tuple[Header, ...], Response | None]:
        """Count a request at `now` (monotonic seconds): its rate headers, and the 429 if it is over the limit.

        Requests of nobody (`org` is empty) are counted together.
        """
        limit = self._limit_deep if offset > DEEP_OFFSET else self._limit
        window = self._windows.get(org)
        if window is None or now >= window.started + self._seconds:
            window = self._windows[org] = Window(now)
        window.count += 1
        headers = (
            (b"x-pco-api-request-rate-limit", b"%d" % limit),
            (b"x-pco-api-request-rate-count", b"%d" % window.count),
            (b"x-pco-api-request-rate-period", self._period),
        )
        if window.count <= limit or not self._is_on:
            return headers, None
        retry_after = max(1, math.ceil(window.started + self._seconds - now))
        return headers, too_many(window.count, limit, self._seconds, retry_after)
