"""Times and spans as text for people. Pure: now and the time zone are arguments. Times are Unix ms, spans seconds."""

from datetime import UTC, datetime, tzinfo

MINUTE, HOUR, DAY = 60, 3_600, 86_400
SOON_SECONDS = 10  # a shorter span is shown with a tenth


def span(seconds: float) -> str:
    """`0.4 s`, `42 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`; a negative span is 0."""
    if seconds < SOON_SECONDS:
        tenths = f"{max(seconds, 0.0):.1f}"
        return f"{tenths.removesuffix('.0')} s"
    whole = int(seconds)
    if whole < MINUTE:
        return f"{whole} s"
    if whole < HOUR:
        return _two(whole, MINUTE, "min", 1, "s")
    if whole < DAY:
        return _two(whole, HOUR, "h", MINUTE, "min")
    return _two(whole, DAY, "d", HOUR, "h")


def age(at: int, now: int) -> str:
    """`12 s ago`, or `in 12 s`."""
    if at > now:
        return f"in {_whole(at - now)}"
    return f"{_whole(now - at)} ago"


def time_of_day(at: int, now: int, zone: tzinfo | None = None) -> str:
    """`14:03:22`, with the date where it is not today's. Without a zone: the machine's own."""
    then, today = _local(at, zone), _local(now, zone)
    return then.strftime("%H:%M:%S" if then.date() == today.date() else "%Y-%m-%d %H:%M:%S")


def short_time(at: int, now: int, zone: tzinfo | None = None) -> str:
    """`14:03:22`, or `Nov 14 14:03` where it is not today's: for a column that must be narrow."""
    then, today = _local(at, zone), _local(now, zone)
    return then.strftime("%H:%M:%S" if then.date() == today.date() else "%b %d %H:%M")


def moment(at: int, now: int, zone: tzinfo | None = None) -> str:
    """`14:03:22, 12 s ago`."""
    return f"{time_of_day(at, now, zone)}, {age(at, now)}"


def _two(whole: int, large: int, large_name: str, small: int, small_name: str) -> str:
    more = whole % large // small
    return f"{whole // large} {large_name}" + (f" {more} {small_name}" if more else "")


def _whole(ms: int) -> str:
    return span(float(ms // 1000))


def _local(at: int, zone: tzinfo | None) -> datetime:
    return datetime.fromtimestamp(at / 1000, UTC).astimezone(zone)
