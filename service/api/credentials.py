"""Secrets, looked up at the moment of use, and the login that a request carries. Nothing here may reach a log."""

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pydantic import SecretStr

from service.api.connections import BasicAuth, BearerAuth, Connection
from topics.errors import Rejected

SECRET_BYTES_MAX = 64_000
HIDDEN = "***"


@dataclass(frozen=True, slots=True)
class Login:
    """What goes into the Authorization header, and the secrets that no text may show. Its repr shows neither."""

    authorization: str | None = field(default=None, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)

    def hide(self, text: str) -> str:
        """The text with each secret redacted: an API may repeat a request in its error."""
        for secret in self.secrets:
            text = text.replace(secret, HIDDEN)
        return text


class Account(Protocol):
    """Who one connection is to its API."""

    async def login(self, refused: Login | None = None) -> Login:
        """A login. Given one that was refused (401), another one if there is any to be had."""
        ...


class StaticAccount:
    """No login, HTTP Basic or a bearer token; a secret that was exchanged in its place counts from the next request."""

    def __init__(self, connection: Connection, environment: Mapping[str, str]) -> None:
        self._connection = connection
        self._environment = environment

    async def login(self, refused: Login | None = None) -> Login:
        auth = self._connection.auth
        if isinstance(auth, BasicAuth):
            user, secret = self._read(auth.id, "id"), self._read(auth.secret, "secret")
            encoded = b64encode(f"{user}:{secret}".encode()).decode()
            return Login(f"Basic {encoded}", (secret, encoded))
        if isinstance(auth, BearerAuth):
            return bearer(self._read(auth.token, "token"), self._connection)
        return Login()

    def _read(self, reference: SecretStr, name: str) -> str:
        return resolve(reference, self._environment, f"{self._connection.key}: auth.{name}")


def bearer(token: str, connection: Connection) -> Login:
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise Rejected(f"{connection.key}: the bearer token is empty or holds characters that no header can carry")
    return Login(f"Bearer {token}", (token,))


def resolve(reference: SecretStr, environment: Mapping[str, str], place: str) -> str:
    """What a reference stands for. Rejected names the place and the reference, never the secret."""
    kind, _, name = reference.get_secret_value().partition(":")
    if kind == "literal":
        return name
    secret = environment.get(name, "") if kind == "env" else _from_file(Path(name), place)
    try:
        secret.encode()
    except UnicodeEncodeError:  # of a variable
        raise Rejected(f"{place} refers to {kind}:{name}, which is not UTF-8 text") from None
    if not secret:
        what = "is not set" if kind == "env" else "is empty"
        raise Rejected(f"{place} refers to {kind}:{name}, which {what}")
    return secret


def _from_file(path: Path, place: str) -> str:
    """The file's text without the white space around it, as editors and `echo` leave a line's end."""
    try:
        with path.open("rb") as file:
            content = file.read(SECRET_BYTES_MAX + 1)
        secret = content.decode().strip()
    except OSError as error:
        raise Rejected(f"{place} refers to file:{path}, which cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Rejected(f"{place} refers to file:{path}, which is not UTF-8 text") from None
    if len(content) > SECRET_BYTES_MAX:
        raise Rejected(f"{place} refers to file:{path}, which has more than {SECRET_BYTES_MAX} bytes: not a secret")
    return secret
