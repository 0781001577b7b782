"""Responses without a document: errors in the API's own words."""

from dataclasses import dataclass

import msgspec

JSON = b"application/vnd.api+json; charset=utf-8"
PLAIN_JSON = b"application/json; charset=utf-8"
HTML = b"text/html; charset=utf-8"

Header = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    body: bytes
    content_type: bytes = JSON
    headers: tuple[Header, ...] = ()


def error(status: int, title: str, detail: str, code: str = "") -> Response:
    """One JSON:API error; `code` is left out where it is empty."""
    problem = {"status": str(status), "title": title} | ({"code": code} if code else {}) | {"detail": detail}
    return Response(status, msgspec.json.encode({"errors": [problem]}))


def invalid(type: str, parameter: str, detail: str, title: str = "Validation Error", code: str = "") -> Response:
    """422 for one attribute or relationship of a record of this type."""
    problem = {"status": "422", "title": title} | ({"code": code} if code else {}) | {"detail": detail}
    problems = [problem | {"source": {"parameter": parameter}, "meta": {"resource": type}}]
    return Response(422, msgspec.json.encode({"errors": problems}))


def json(status: int, value: object) -> Response:
    return Response(status, msgspec.json.encode(value), PLAIN_JSON)


def html(status: int, title: str) -> Response:
    page = (
        f"<html>\r\n<head><title>{status} {title}</title></head>\r\n<body><h1>{status} {title}</h1></body>\r\n</html>"
    )
    return Response(status, page.encode(), HTML)


NOT_FOUND = error(404, "Not Found", "The resource you requested could not be found")
FORBIDDEN = error(403, "Forbidden", "You do not have access to this resource")
NO_DATA = error(400, "Bad Request", "The payload given does not contain a 'data' key.", code="invalid_resource_payload")
BAD_PAYLOAD = error(400, "Bad Request", "Your request could not be processed", code="invalid_resource_payload")
TOO_MANY_PARAMETERS = error(400, "Bad Request", "The request has too many parameters")
UNKNOWN_VERSION = error(
    400, "Bad Request", "The API version is older than 2018-08-01", code="unsupported_version_error"
)
NO_USER_AGENT = html(403, "Forbidden")  # by the firewall in front of the API, which counts nothing
BASIC_DENIED = Response(
    401, b"HTTP Basic: Access denied.\n", HTML, ((b"www-authenticate", b'Basic realm="Application"'),)
)
CAPUCHIN = "CAPUCHIN"  # a token that was revoked or never issued
BABOON = "BABOON"  # a token that has expired


def bearer_denied(hint: str) -> Response:
    """In the API's own words, as those who got it have shown it."""
    return _unauthorised(
        "unauthorized", "Unauthorized", f"This request could not be authenticated. Error Code Hint: ({hint})"
    )


def out_of_scope(product: str) -> Response:
    """In the API's own words. A token is valid, and was not given for this product."""
    name = product.replace("-", " ").replace("_", " ")
    detail = f"The API credentials do not have access to the application {name}"
    return _unauthorised("bad_scope", "Request outside authenticated scope", detail)


def _unauthorised(code: str, title: str, detail: str) -> Response:
    problem = {"code": code, "title": title, "status": "401", "detail": detail}
    return Response(401, msgspec.json.encode({"errors": [problem]}), PLAIN_JSON)


def too_many(count: int, limit: int, seconds: int, retry_after: int) -> Response:
    problem = {
        "code": "429",
        "title": "Too Many Requests",
        "detail": f"Rate limit exceeded: {count} of {limit} requests per {seconds} seconds",
    }
    headers = ((b"retry-after", str(retry_after).encode()),)
    return Response(429, msgspec.json.encode({"errors": [problem]}), PLAIN_JSON, headers)
