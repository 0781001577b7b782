"""Times and spans as text for people. Pure: now and the time zone are arguments. Times are Unix ms, spans seconds."""

from datetime import UTC, datetime, tzinfo
from itertools import pairwise

from agents.ports import Clock

DAY = 86_400
UNITS = ((DAY, "d"), (3_600, "h"), (60, "min"), (1, "s"))
SOON_SECONDS = 10  # a shorter span is shown with a tenth


def now_ms(clock: Clock) -> int:
    """The wall clock in Unix ms, the unit of all times in states."""
    return int(clock.now().timestamp() * 1000)


def span(seconds: float) -> str:
    """`0.4 s`, `42 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`; a negative span is 0."""
    if seconds < SOON_SECONDS:
        tenths = f"{max(seconds, 0.0):.1f}"
        return f"{tenths.removesuffix('.0')} s"
    whole = int(seconds)
    for (size, name), (small_size, small_name) in pairwise(UNITS):
        if whole >= size:
            small = whole % size // small_size
            return f"{whole // size} {name}" + (f" {small} {small_name}" if small else "")
    return f"{whole} s"


def age(at: int, now: int) -> str:
    """`12 s ago`, or `in 12 s`."""
    words = span(abs(at - now) // 1000)
    return f"in {words}" if at > now else f"{words} ago"


def time_of_day(at: int, now: int, zone: tzinfo | None = None) -> str:
    """`14:03:22`, with the date where it is not today's. Without a zone: the machine's own."""
    return _time(at, now, zone, "%Y-%m-%d %H:%M:%S")


def short_time(at: int, now: int, zone: tzinfo | None = None) -> str:
    """`14:03:22`, or `Nov 14 14:03` where it is not today's: for a column that must be narrow."""
    return _time(at, now, zone, "%b %d %H:%M")


def moment(at: int, now: int, zone: tzinfo | None = None) -> str:
    """`14:03:22, 12 s ago`."""
    return f"{time_of_day(at, now, zone)}, {age(at, now)}"


def _time(at: int, now: int, zone: tzinfo | None, other_day: str) -> str:
    then, today = (datetime.fromtimestamp(ms / 1000, UTC).astimezone(zone) for ms in (at, now))
    return then.strftime("%H:%M:%S" if then.date() == today.date() else other_day)
