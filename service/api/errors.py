"""Errors by status: whether a request is repeated, and the API's own words about it. Pure."""

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache
from http.client import responses
from urllib.parse import urlsplit

import msgspec

from agents.core.retry import ASKED_SECONDS_MAX
from service.api.exchange import Headers, Response
from topics.errors import EXCERPT_CHARS_MAX, Rejected, Retryable, shortened

DATES_REMEMBERED_MAX = 100  # the least recently used is parsed again
QUOTED_ERRORS_MAX = 3
QUOTED_BYTES_MAX = 64_000  # of an error body that is looked at

_RETRYABLE = frozenset({408, 429})
_GONE = frozenset({404, 410})
# What is not closed reaches to the end: each character is looked at once, whatever stands there.
_TAG = re.compile(r"<(script|style|head)\b.*?(?:</\1>|\Z)|<[^<>]*>", re.DOTALL | re.IGNORECASE)


class Gone(Rejected):
    """404 or 410 below a parent: the parent no longer exists, and has no children."""


def error_for(
    response: Response, what: str, is_under_parent: bool, now: datetime, hide: Callable[[str], str]
) -> Retryable | Rejected:
    """The error that a response without success stands for. `what` names method, path and connection; `hide` takes the
    secrets out of the API's own words."""
    status = response.status
    if 300 <= status < 400:
        place = _host(response.headers.get("location", ""))
        return Rejected(f"{what} answered {_named(status)} to {place}: redirects are not followed; put right base_url")
    quoted = _quoted(response.body[:QUOTED_BYTES_MAX], hide)
    sentence = f"{what} answered {_named(status)}" + (f": {quoted}" if quoted else "")
    if status in _RETRYABLE or status >= 500:
        after_seconds = retry_after(response.headers, now)
        asks = f"; it asks for a wait of {after_seconds:.0f} s" if after_seconds else ""
        return Retryable(sentence + asks, after_seconds)
    if status in _GONE and is_under_parent:
        return Gone(sentence)
    return Rejected(sentence)


def source_time(headers: Headers, took: timedelta) -> datetime | None:
    """When a request that took so long was sent, by the server's clock (RFC 9110, 6.6.1: whole seconds)."""
    at = _date(headers.get("date", ""))
    return at - took if at is not None else None


@lru_cache(maxsize=DATES_REMEMBERED_MAX)
def _date(text: str) -> datetime | None:
    """An HTTP date; None if it is none. All answers of one second have the same."""
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return None
    return at if at.tzinfo is not None else None


def retry_after(headers: Headers, now: datetime) -> float | None:
    """Seconds from now, at most ASKED_SECONDS_MAX, out of a number of seconds or an HTTP date; None if there is
    neither."""
    value = headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", value):
        seconds = float(value)
    else:
        at = _date(value)
        if at is None:
            return None
        seconds = (at - now).total_seconds()
    return min(max(seconds, 0.0), ASKED_SECONDS_MAX)


def _named(status: int) -> str:
    return f"{status} ({responses[status]})" if status in responses else str(status)


def _host(location: str) -> str:
    try:
        return urlsplit(location).hostname or "another path"
    except ValueError:
        return "an unreadable address"


def _quoted(body: bytes, hide: Callable[[str], str]) -> str:
    """The API's own words, on one line, shortened."""
    try:
        text = hide(_from_json(msgspec.json.decode(body)))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        text = hide(_TAG.sub(" ", hide(body.decode(errors="replace"))))
    words = " ".join("".join(each if each.isprintable() else " " for each in text).split())
    return shortened(words, EXCERPT_CHARS_MAX)


def _from_json(document: object) -> str:
    """JSON:API's `errors`, OAuth's `error`, or the usual single field."""
    if not isinstance(document, dict):
        return ""
    errors = document.get("errors")
    if isinstance(errors, list):
        return "; ".join(_one(error) for error in errors[:QUOTED_ERRORS_MAX] if isinstance(error, dict))
    return _one(document)


def _one(error: dict[str, object]) -> str:
    parts = (error.get(name) for name in ("title", "error", "error_description", "message", "detail"))
    return ": ".join(part for part in parts if isinstance(part, str) and part)
