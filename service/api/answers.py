"""What an answer's status means for the page, and what its error body says. Pure."""

import re
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from urllib.parse import urlsplit

import msgspec

from service.api.reply import Reply
from topics.errors import Rejected, Retryable

SAID_CHARS_MAX = 300  # of an API's own words in our error
SAID_ERRORS_MAX = 3
SAID_BYTES_MAX = 64_000  # of an error body that is looked at
RETRY_AFTER_SECONDS_MAX = 86_400.0  # a server that asks for more is asked again after a day

_AGAIN = frozenset({408, 429})
_TAG = re.compile(r"<(script|style|head)\b.*?</\1>|<[^>]*>", re.DOTALL | re.IGNORECASE)
_GONE = frozenset({404, 410})


class Gone(Rejected):
    """404 or 410 for what stands under a parent: the parent is no more, and its children are none."""


def problem(reply: Reply, what: str, is_under_parent: bool, now: datetime) -> Retryable | Rejected:
    """The error that an answer is which is no page. `what` names method, path and connection."""
    status = reply.status
    if 300 <= status < 400:
        place = _host(reply.headers.get("location", ""))
        return Rejected(f"{what} answered {_named(status)} to {place}: redirects are not followed; put right base_url")
    said = _said(reply)
    sentence = f"{what} answered {_named(status)}" + (f": {said}" if said else "")
    if status in _AGAIN or status >= 500:
        return Retryable(sentence, retry_after(reply.headers, now))
    if status in _GONE and is_under_parent:
        return Gone(sentence)
    return Rejected(sentence)


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds from now, out of a number of seconds or an HTTP date; None if it says nothing of sense."""
    value = headers.get("retry-after", "").strip()
    if not value:
        return None
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", value):
        seconds = float(value)
    else:
        try:
            seconds = (parsedate_to_datetime(value) - now).total_seconds()
        except (ValueError, TypeError):
            return None
    return min(max(seconds, 0.0), RETRY_AFTER_SECONDS_MAX)


def _named(status: int) -> str:
    try:
        return f"{status} ({HTTPStatus(status).phrase})"
    except ValueError:
        return str(status)


def _host(location: str) -> str:
    try:
        return urlsplit(location).hostname or "another path"
    except ValueError:
        return "an unreadable address"


def _said(reply: Reply) -> str:
    """The API's own words, on one line, shortened."""
    body = reply.body[:SAID_BYTES_MAX]
    try:
        text = _from_json(msgspec.json.decode(body))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        text = _TAG.sub(" ", body.decode(errors="replace"))
    words = " ".join("".join(each if each.isprintable() else " " for each in text).split())
    return words if len(words) <= SAID_CHARS_MAX else words[:SAID_CHARS_MAX] + "…"


def _from_json(document: object) -> str:
    """JSON:API's `errors`, OAuth's `error`, or the usual single field."""
    if not isinstance(document, dict):
        return ""
    errors = document.get("errors")
    if isinstance(errors, list):
        return "; ".join(_one(error) for error in errors[:SAID_ERRORS_MAX] if isinstance(error, dict))
    return _one(document)


def _one(error: dict[str, object]) -> str:
    parts = (error.get(name) for name in ("title", "error", "error_description", "message", "detail"))
    return ": ".join(part for part in parts if isinstance(part, str) and part)
