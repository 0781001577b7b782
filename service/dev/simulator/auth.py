"""Authentication: personal access tokens and OAuth, distinguished by the Authorization header as in the real API.

Tokens are computed, so they outlive a restart. Only the newest refresh token of an organisation works; its number is
kept in memory, so that after a restart the first one received is accepted.
"""

import base64
import binascii
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

import msgspec

from service.clock import Clock
from service.dev.simulator.config import SCOPES
from service.dev.simulator.responses import (
    BABOON,
    BASIC_DENIED,
    CAPUCHIN,
    Response,
    bearer_denied,
    json,
    out_of_scope,
)

CLIENT_ID = "simulator-app"
CLIENT_SECRET = "secret-simulator-app"
PARAMETERS_MAX = 20


def secret_of(org: str) -> str:
    """The secret of the personal access token whose id is the organisation's name."""
    return f"secret-{org}"


def code_of(org: str) -> str:
    """An authorization code, as after a person's consent. Unlike a real one it works more than once."""
    return f"code-{org}"


def first_refresh_token_of(org: str) -> str:
    """The first refresh token. Single use, like the following ones."""
    return f"refresh-{org}"


@dataclass(frozen=True, slots=True)
class Caller:
    """The organisation that a request is made for, empty if it is nobody's, and the 401 if it is refused."""

    org: str
    refusal: Response | None = None


class Credentials:
    """All organisations' credentials. `token_seconds`: the lifetime of an access token; `scopes`: what it is for."""

    def __init__(
        self, orgs: Iterable[str], clock: Clock, token_seconds: int, seed: int, scopes: Iterable[str] = SCOPES
    ) -> None:
        self._orgs = frozenset(orgs)
        self._clock = clock
        self._token_seconds = token_seconds
        self._scopes = tuple(scopes)
        self._key = f"simulator/{seed}".encode()
        self._basic = {_basic(org, secret_of(org)): org for org in self._orgs}
        self._newest: dict[str, int] = {}

    def identify(self, authorization: bytes, product: str) -> Caller:
        """Whose request it is. Personal access tokens are for all products, others for those of their scope."""
        known = self._basic.get(authorization)
        if known is not None:
            return Caller(known)
        scheme, _, rest = authorization.decode("latin-1").partition(" ")
        if scheme.lower() == "bearer":
            return self._bearer(rest.strip(), product)
        org = self._basic.get(_normal(rest)) if scheme.lower() == "basic" else None
        return Caller(org) if org else Caller("", BASIC_DENIED)

    def _bearer(self, token: str, product: str) -> Caller:
        org, number = self._verified("access", token)
        if org not in self._orgs:
            return Caller("", bearer_denied(CAPUCHIN))
        if number <= self._now():
            return Caller(org, bearer_denied(BABOON))
        scope = product.replace("-", "_")
        is_within = scope in self._scopes or scope not in SCOPES
        return Caller(org) if is_within else Caller(org, out_of_scope(product))

    def token(self, method: str, content_type: str, body: bytes) -> Response:
        """POST /oauth/token: tokens for a code or a refresh token."""
        if method != "POST":
            return _oauth_error(400, "invalid_request", "Tokens are requested with POST.")
        given = _parameters(content_type, body)
        if given is None:
            return _oauth_error(400, "invalid_request", "The body is neither a form nor a JSON object.")
        if (given.get("client_id"), given.get("client_secret")) != (CLIENT_ID, CLIENT_SECRET):
            return _oauth_error(401, "invalid_client", "Client authentication failed.")
        grant = given.get("grant_type")
        if grant == "authorization_code":
            return self._for_code(given.get("code", ""))
        if grant == "refresh_token":
            return self._for_refresh(given.get("refresh_token", ""))
        return _oauth_error(400, "unsupported_grant_type", "The grant type is not supported.")

    def _for_code(self, code: str) -> Response:
        org = code.removeprefix("code-")
        if org not in self._orgs or code != code_of(org):
            return _oauth_error(400, "invalid_grant", "The authorization code is not valid.")
        return self._issued(org, self._newest.get(org, 0) + 1)

    def _for_refresh(self, token: str) -> Response:
        org, number = self._verified("refresh", token)
        if not org and token.removeprefix("refresh-") in self._orgs:
            org, number = token.removeprefix("refresh-"), 0
        if org not in self._orgs or self._newest.get(org, number) != number:
            return _oauth_error(400, "invalid_grant", "The refresh token is not valid, has expired or was used before.")
        return self._issued(org, number + 1)

    def _issued(self, org: str, number: int) -> Response:
        self._newest[org] = number
        now = self._now()
        tokens = {
            "access_token": self._signed("access", org, now + self._token_seconds),
            "token_type": "bearer",
            "expires_in": self._token_seconds,
            "refresh_token": self._signed("refresh", org, number),
            "scope": " ".join(self._scopes),
            "created_at": now,
        }
        return json(200, tokens)

    def _now(self) -> int:
        return int(self._clock.now().timestamp())

    def _signed(self, kind: str, org: str, number: int) -> str:
        signature = hmac.digest(self._key, f"{kind}.{org}.{number}".encode(), "sha256").hex()[:32]
        return f"{kind}.{org}.{number}.{signature}"

    def _verified(self, kind: str, token: str) -> tuple[str, int]:
        """The organisation and number of a token of this simulator; an empty organisation for any other text."""
        parts = token.split(".")
        if len(parts) != 4 or not parts[2].isdecimal() or len(parts[2]) > 18:
            return "", 0
        org, number = parts[1], int(parts[2])
        return (
            (org, number) if hmac.compare_digest(self._signed(kind, org, number).encode(), token.encode()) else ("", 0)
        )


def _basic(id: str, secret: str) -> bytes:
    return b"Basic " + base64.b64encode(f"{id}:{secret}".encode())


def _normal(encoded: str) -> bytes:
    """The header in its usual form: any case of the scheme and missing padding are accepted."""
    try:
        plain = base64.b64decode(encoded.strip() + "==")
    except (binascii.Error, ValueError):
        return b""
    return b"Basic " + base64.b64encode(plain)


def _parameters(content_type: str, body: bytes) -> Mapping[str, str] | None:
    if "json" not in content_type:
        try:
            return dict(parse_qsl(body.decode("utf-8", "replace"), max_num_fields=PARAMETERS_MAX))
        except ValueError:
            return None
    try:
        given = msgspec.json.decode(body, type=dict[str, object])
    except msgspec.DecodeError:
        return None
    return {name: value for name, value in given.items() if isinstance(value, str)}


def _oauth_error(status: int, code: str, description: str) -> Response:
    return json(status, {"error": code, "error_description": description})
