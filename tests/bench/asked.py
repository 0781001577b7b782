"""How the API's journal of requests is read. Pure."""

from collections.abc import Sequence
from itertools import pairwise

from tests.bench.api import PERIOD_SECONDS, Asked


def repeated(asked: Sequence[Asked]) -> list[Asked]:
    """Every request for a page that had been asked for before."""
    seen: set[tuple[str, int]] = set()
    found = []
    for one in asked:
        if (one.org, one.page) in seen:
            found.append(one)
        seen.add((one.org, one.page))
    return found


def by_kill(asked: Sequence[Asked], kills: Sequence[float]) -> list[int]:
    """How many of these requests came after each kill and before the next."""
    ends = [*kills[1:], float("inf")]
    return [sum(kill <= one.at < end for one in asked) for kill, end in zip(kills, ends, strict=True)]


def windows(asked: Sequence[Asked]) -> list[float]:
    """When the server's windows opened, for requests of one organisation."""
    opened = [asked[0].at]
    for _, one in pairwise(asked):
        if one.at >= opened[-1] + PERIOD_SECONDS:
            opened.append(one.at)
    return opened
