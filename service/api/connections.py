"""The connections file (docs/connections.md): how each organisation's API is reached, strictly read.

Secrets stand in it as references (env:NAME, file:PATH; literal:TEXT for simulators) and are looked up when a request
needs them, by service.api.credentials. Nothing here shows what a reference says: a literal is a secret.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError

from agents.concurrency import REQUESTS_PER_CONNECTION, REQUESTS_PER_CONNECTION_MAX
from manifests.document import Document, Value, parse
from topics.errors import Rejected
from topics.ids import NAME_PATTERN, connection_key

FILE_BYTES_MAX = 4_000_000
CONNECTIONS_MAX = 10_000

_ANY = "*"
_ORG = "{org}"
_ORG_SHOWN = "org"  # stands for {org} where a pattern is checked before an organisation is known
_KEY = re.compile(rf"(\*|{NAME_PATTERN.strip('^$')})/({NAME_PATTERN.strip('^$')})")
_REFERENCE = re.compile(r"(env|file|literal):.+", re.DOTALL)


def _reference(value: SecretStr) -> SecretStr:
    if not _REFERENCE.fullmatch(value.get_secret_value()):
        raise ValueError("must be env:NAME, file:PATH or (for simulators only) literal:TEXT")
    return value


def _address(value: str) -> str:
    try:
        url = urlsplit(value)
        is_address = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        is_address = False
    if not is_address or not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError("must be an address like https://api.example.org")
    if url.username is not None or url.query or url.fragment:
        raise ValueError("must hold no user, no query and no fragment")
    return value.rstrip("/")


Reference = Annotated[SecretStr, AfterValidator(_reference)]
Address = Annotated[str, AfterValidator(_address)]


class _Edge(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class NoAuth(_Edge):
    kind: Literal["none"]


class BasicAuth(_Edge):
    """HTTP Basic: an application's id and secret (a personal access token)."""

    kind: Literal["basic"]
    id: Reference
    secret: Reference


class BearerAuth(_Edge):
    kind: Literal["bearer"]
    token: Reference


class OAuth(_Edge):
    """OAuth 2 by refresh token. The first one stands here; its successors are kept in the state directory."""

    kind: Literal["oauth"]
    client_id: Reference
    client_secret: Reference
    refresh_token: Reference
    token_url: Address


Auth = NoAuth | BasicAuth | BearerAuth | OAuth


class _Entry(_Edge):
    base_url: Address | None = None
    auth: Annotated[Auth, Field(discriminator="kind")]
    concurrency: Annotated[int, Field(ge=1, le=REQUESTS_PER_CONNECTION_MAX)] = REQUESTS_PER_CONNECTION


@dataclass(frozen=True, slots=True)
class Connection:
    """One organisation's way to one API. Without a base URL of its own the adapter's counts."""

    org: str
    adapter: str
    auth: Auth
    base_url: str | None = None
    concurrency: int = REQUESTS_PER_CONNECTION

    @property
    def key(self) -> str:
        return connection_key(self.org, self.adapter)


class Connections:
    """What the connections file says; all of it was checked when it was read."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._check()

    def find(self, org: str, adapter: str) -> Connection:
        """The organisation's own entry, or else the one for all. Rejected names the file and the key to add."""
        for key in (connection_key(org, adapter), connection_key(_ANY, adapter)):
            if key in self._document.value:
                entry = self._entry(key, org)
                return Connection(org, adapter, entry.auth, entry.base_url, entry.concurrency)
        raise Rejected(
            f"{self._document.path} has no connection for {connection_key(org, adapter)}: add the key "
            f"{connection_key(org, adapter)!r}, or {connection_key(_ANY, adapter)!r} for all organisations, "
            "and restart the fetchers (`sluice dev`)"
        )

    def _check(self) -> None:
        keys = self._document.value
        if len(keys) > CONNECTIONS_MAX:
            raise self._document.error((), f"{len(keys)} connections, at most {CONNECTIONS_MAX}; use '*/ADAPTER'")
        for key in keys:
            found = _KEY.fullmatch(key)
            if not found:
                raise self._document.error((key,), "a connection is named ORG/ADAPTER, or */ADAPTER for all")
            self._entry(key, _ORG_SHOWN if found[1] == _ANY else found[1])

    def _entry(self, key: str, org: str) -> _Entry:
        try:
            return _Entry.model_validate(_filled(self._document.value[key], org))
        except ValidationError as error:
            problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
        loc = (key, *problem["loc"])
        known = self._document.known(loc)
        place = (*known, loc[-1]) if problem["type"] == "missing" else known
        raise self._document.error(place, _said(problem["type"], problem["msg"]))


def read_connections(path: Path) -> Connections:
    """Rejected, with file, line and field, for whatever is not right in the file, or if there is none."""
    try:
        content = path.read_bytes()
        text = content.decode()
    except OSError as error:
        raise Rejected(
            f"the connections file {path} cannot be read ({error.strerror}); SLUICE_CONNECTIONS names it"
        ) from None
    except UnicodeDecodeError:
        raise Rejected(f"the connections file {path} is not UTF-8 text") from None
    if len(content) > FILE_BYTES_MAX:
        raise Rejected(f"the connections file {path} has {len(content)} bytes, at most {FILE_BYTES_MAX}")
    return Connections(parse(path, text))


def _filled(value: Value, org: str) -> object:
    """The entry with the organisation's name in place of {org}, and `auth: none` written out."""
    if isinstance(value, dict):
        return dict(_fields(value, org))
    return value.replace(_ORG, org) if isinstance(value, str) else value


def _fields(entry: dict[str, Value], org: str) -> Iterator[tuple[str, object]]:
    for name, value in entry.items():
        yield name, {"kind": "none"} if (name, value) == ("auth", "none") else _filled(value, org)


def _said(kind: str, message: str) -> str:
    known = {
        "missing": "is missing",
        "extra_forbidden": "there is no such field",
        "union_tag_not_found": "must say its kind: basic, bearer or oauth (or be just `none`)",
        "model_attributes_type": "must be a mapping",
        "model_type": "must be a mapping",
        "union_tag_invalid": "kind must be basic, bearer, oauth or none",
    }
    return known.get(kind, message.removeprefix("Value error, "))
