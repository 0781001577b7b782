"""OAuth 2 by refresh tokens that may serve once only: each is kept on disk before anything else is done.

One refresh at a time: requests of a process share it, processes take turns by a lock file, and who comes second
takes over what the first has stored. Files: home/credentials/ORG@ADAPTER.json and .lock, for their owner only.
A refresh token is lost for good if the process dies, or the answer is lost, between the API's exchange and our write;
the API then says invalid_grant, and a person has to authorise again.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from hashlib import blake2b
from pathlib import Path

import msgspec

from service.api.connections import Connection, OAuth
from service.api.credentials import Login, bearer, resolve
from service.api.errors import error_for
from service.api.exchange import Request, Response
from service.api.limits import Sleep
from service.api.transport import Transport
from service.clock import Clock
from service.lock import held
from topics.errors import Rejected, Retryable

EARLY_SECONDS = 60.0  # before its end a token is exchanged (or a tenth of its life, if that is less)
LOCK_SECONDS_MAX = 150.0  # for our turn among processes; longer than one exchange may take


class Tokens(msgspec.Struct, frozen=True):
    """What is kept. `origin` is a hash of the configured refresh token that these descend from."""

    access_token: str
    refresh_token: str
    good_until: float | None  # Unix seconds; None: until the API refuses it
    origin: str

    def __repr__(self) -> str:
        return "Tokens(***)"


class _Granted(msgspec.Struct, frozen=True):
    """The token endpoint's answer (RFC 6749, section 5.1)."""

    access_token: str
    refresh_token: str | None = None
    expires_in: float | None = None


class OAuthAccount:
    """One connection's tokens."""

    def __init__(
        self,
        connection: Connection,
        auth: OAuth,
        environment: Mapping[str, str],
        home: Path,
        transport: Transport,
        clock: Clock,
        sleep: Sleep,
    ) -> None:
        self._connection = connection
        self._auth = auth
        self._environment = environment
        self._what = f"{connection.key}: POST {auth.token_url}"
        self._directory = home / "credentials"
        self._file = self._directory / f"{connection.org}@{connection.adapter}.json"
        self._transport = transport
        self._clock = clock
        self._sleep = sleep
        self._tokens: Tokens | None = None
        self._unsaved: Tokens | None = None
        self._renewal: asyncio.Task[Tokens] | None = None

    async def login(self, refused: Login | None = None) -> Login:
        if self._tokens is not None and self._is_good(self._tokens, refused):
            return self._login(self._tokens)
        return self._login(await self._shared_renewal(refused))

    async def _shared_renewal(self, refused: Login | None) -> Tokens:
        """Shielded: a cancelled request must not lose a token that the API has already granted."""
        if self._renewal is None or self._renewal.done():
            self._renewal = asyncio.create_task(self._renew(refused))
        return await asyncio.shield(self._renewal)

    async def _renew(self, refused: Login | None) -> Tokens:
        async with self._lock():
            configured = self._read("refresh_token")
            origin = blake2b(configured.encode(), digest_size=16).hexdigest()
            stored = self._unsaved or self._stored(origin)
            if self._unsaved is not None or stored is None or not self._is_good(stored, refused):
                stored = self._unsaved or await self._ask(stored.refresh_token if stored else configured, origin)
                self._unsaved = stored
                self._store(stored)
                self._unsaved = None
            self._tokens = stored
            return stored

    def _is_good(self, tokens: Tokens, refused: Login | None) -> bool:
        if refused is not None and self._login(tokens).authorization == refused.authorization:
            return False
        return tokens.good_until is None or self._clock.now().timestamp() < tokens.good_until

    async def _ask(self, refresh_token: str, origin: str) -> Tokens:
        client_id, client_secret = self._read("client_id"), self._read("client_secret")
        asked_at = self._clock.now()
        form = {
            "grant_type": "refresh_token",
            "refresh_token": refresh_token,
            "client_id": client_id,
            "client_secret": client_secret,
        }
        response = await self._transport.exchange(
            Request(self._what, "POST", self._auth.token_url, {"accept": "application/json"}, form=form)
        )
        self._check(response, Login(secrets=(refresh_token, client_secret)))
        granted = self._granted(response)
        lasts = granted.expires_in
        until = None if lasts is None else asked_at.timestamp() + lasts - min(EARLY_SECONDS, lasts / 10)
        return Tokens(granted.access_token, granted.refresh_token or refresh_token, until, origin)

    def _check(self, response: Response, login: Login) -> None:
        if response.is_success:
            return
        error = error_for(response, self._what, False, self._clock.now(), login.hide)
        if isinstance(error, Retryable):
            raise error
        raise Rejected(
            f"{error}. Authorise Sluice again and put the new refresh token where "
            "auth.refresh_token of the connection refers to"
        )

    def _granted(self, response: Response) -> _Granted:
        try:
            return msgspec.json.decode(response.body, type=_Granted, strict=False)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise Retryable(f"{self._connection.key}: the token endpoint answered without a token") from None

    def _login(self, tokens: Tokens) -> Login:
        return bearer(tokens.access_token, self._connection)

    def _read(self, name: str) -> str:
        reference = getattr(self._auth, name)
        return resolve(reference, self._environment, f"{self._connection.key}: auth.{name}")

    def _stored(self, origin: str) -> Tokens | None:
        """What is on disk; None if nothing is, or if a person has configured another refresh token since."""
        try:
            tokens = msgspec.json.decode(self._file.read_bytes(), type=Tokens)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise Rejected(
                f"{self._connection.key}: {self._file} cannot be read ({type(error).__name__}); put it right, or "
                "remove it and authorise again"
            ) from None
        return tokens if tokens.origin == origin else None

    def _store(self, tokens: Tokens) -> None:
        """Durable before it is visible, visible before it is used."""
        draft = self._file.with_suffix(".new")
        try:
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(msgspec.json.encode(tokens))
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self._file)
            _sync(self._directory)
        except OSError as error:
            raise Retryable(f"{self._connection.key}: {self._file} cannot be written: {error.strerror}") from None

    @asynccontextmanager
    async def _lock(self) -> AsyncIterator[None]:
        """This connection's lock among processes."""
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = self._file.with_suffix(".lock")
            file.touch(mode=0o600)
        except OSError as error:
            raise Rejected(
                f"{self._connection.key}: {self._directory} cannot be written ({error.strerror}), and refreshed "
                "tokens have to be kept; SLUICE_HOME names the directory above it"
            ) from None
        async with held(file, LOCK_SECONDS_MAX, self._clock, self._sleep):
            yield


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
