"""Failures of an exchange: what a library raised, as one sentence that says what to do."""

from urllib.parse import urlsplit

import httpx
from pyreqwest.exceptions import BuilderError, DetailedPyreqwestError, PyreqwestError

from service.api.body import TooLong, Unreadable
from service.api.exchange import Request
from service.api.http import HTTP1_HEADER_BYTES_MAX, HTTP1_HEADERS_MAX
from topics.errors import EXCERPT_CHARS_MAX, Rejected, Retryable, shortened

FAILURES = (PyreqwestError, httpx.HTTPError, httpx.InvalidURL, TooLong, Unreadable)

# Texts of rustls 0.23, hyper 1.12 and hyper-util 0.1; the tests notice another one.
_UNTRUSTED = "invalid peer certificate: "
_HEADERS_TOO_LARGE = "message head is too large"
_CONNECTING = "client error (Connect)"


class Untrusted(Rejected):
    """A server whose certificate does not verify."""


def failure(request: Request, error: BaseException) -> Retryable | Rejected:
    """The error for one of FAILURES. Of the request's URL only the host is shown."""
    what, host = request.name, urlsplit(request.url).netloc.rpartition("@")[2]
    if isinstance(error, TooLong):
        return Rejected(f"{what} had {error}; make the pages smaller")
    if isinstance(error, httpx.HTTPError) and error.__cause__ is not None:
        return failure(request, error.__cause__)
    causes = _causes(error)
    reason = shortened(causes[-1], EXCERPT_CHARS_MAX)
    if isinstance(error, BuilderError | httpx.InvalidURL):
        return Rejected(f"{what} cannot be sent: its address is not valid; put right base_url or token_url")
    if reason.startswith(_UNTRUSTED):
        return Untrusted(
            f"{what} was not sent: the certificate of {host} does not verify "
            f"({reason.removeprefix(_UNTRUSTED)}); if an authority of your own has signed it, set SLUICE_CA_FILE to "
            "the PEM file of that authority"
        )
    if reason == _HEADERS_TOO_LARGE:
        return Rejected(
            f"{what} had headers of more than {HTTP1_HEADER_BYTES_MAX} bytes, or more than {HTTP1_HEADERS_MAX} of them"
        )
    if _CONNECTING in causes:
        reason = f"cannot connect to {host}: {reason}"
    return Retryable(f"{what} had no whole answer ({reason})")


def _causes(error: BaseException) -> list[str]:
    """Outermost first. The last one says what happened; those before it repeat the URL."""
    causes = error.details["causes"] if isinstance(error, DetailedPyreqwestError) else None
    return [cause["message"] for cause in causes or ()] or [str(error) or type(error).__name__]
