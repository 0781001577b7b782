"""Reading of the API's journal of requests. Pure."""

from collections.abc import Sequence
from itertools import pairwise

from tests.bench.api import PERIOD_SECONDS, Request


def repeated(requests: Sequence[Request]) -> list[Request]:
    """Every request for a page that had been requested before."""
    seen: set[tuple[str, int]] = set()
    found = []
    for one in requests:
        if (one.org, one.page) in seen:
            found.append(one)
        seen.add((one.org, one.page))
    return found


def by_kill(requests: Sequence[Request], kills: Sequence[float]) -> list[int]:
    """How many of these requests came after each kill and before the next."""
    ends = [*kills[1:], float("inf")]
    return [sum(kill <= one.at < end for one in requests) for kill, end in zip(kills, ends, strict=True)]


def windows(requests: Sequence[Request]) -> list[float]:
    """When the server's windows opened, for requests of one organisation."""
    opened = [requests[0].at]
    for _, one in pairwise(requests):
        if one.at >= opened[-1] + PERIOD_SECONDS:
            opened.append(one.at)
    return opened
