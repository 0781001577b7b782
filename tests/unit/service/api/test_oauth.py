"""Refresh tokens that serve once, against a made-up token endpoint; home is a real directory."""

import asyncio
import fcntl
import os
from pathlib import Path
from urllib.parse import parse_qsl

import httpx
import msgspec
import pytest
from pydantic import SecretStr

from service.api.connections import Connection, OAuth
from service.api.credentials import Login
from service.api.oauth import LOCK_SECONDS_MAX, OAuthAccount, Tokens
from tests.support.http import MemoryTransport, MovedClock
from topics.errors import Rejected, Retryable

AUTH = OAuth(
    kind="oauth",
    client_id=SecretStr("literal:client"),
    client_secret=SecretStr("literal:client-secret"),
    refresh_token=SecretStr("env:PCO_REFRESH"),
    token_url="https://api.example.org/oauth/token",
)


class World:
    """A token endpoint, which gives out access-1, access-2, …; a state directory, and any number of processes."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.clock = MovedClock()
        self.environment = {"PCO_REFRESH": "refresh-0"}
        self.good = "refresh-0"  # serves once
        self.granted = 0
        self.expires_in: object = 7200
        self.rotates = True
        self.error: httpx.Response | None = None

    @property
    def file(self) -> Path:
        return self.home / "credentials" / "acme@pco.json"

    def process(self) -> OAuthAccount:
        transport, clock = MemoryTransport(self._answer), self.clock
        connection = Connection("acme", "pco", AUTH)
        return OAuthAccount(connection, AUTH, self.environment, self.home, transport, clock, clock.sleep)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        form = dict(parse_qsl(request.content.decode()))
        token = form.pop("refresh_token")
        assert form == {"grant_type": "refresh_token", "client_id": "client", "client_secret": "client-secret"}
        if self.error is not None:
            return self.error
        if token != self.good:
            return httpx.Response(400, json={"error": "invalid_grant", "error_description": f"{token} was used"})
        self.granted += 1
        answer: dict[str, object] = {"access_token": f"access-{self.granted}", "token_type": "bearer"}
        if self.rotates:
            self.good = answer["refresh_token"] = f"refresh-{self.granted}"
        if self.expires_in is not None:
            answer["expires_in"] = self.expires_in
        return httpx.Response(200, json=answer)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "home")


def login_of(number: int) -> Login:
    return Login(f"Bearer access-{number}", (f"access-{number}",))


@pytest.mark.parametrize(
    ("expires_in", "seconds", "number"),
    [(7200, 7139, 1), (7200, 7141, 2), ("10", 8, 1), ("10", 9.5, 2), (None, 1e8, 1)],
)
async def test_a_token_is_used_until_shortly_before_its_end(
    world: World, expires_in: object, seconds: float, number: int
) -> None:
    world.expires_in = expires_in
    account = world.process()
    assert await account.login() == login_of(1)
    world.clock.seconds = seconds
    assert await account.login() == login_of(number)


async def test_requests_and_processes_share_a_refresh_and_one_for_a_refused_token(world: World) -> None:
    accounts = [world.process(), world.process()] * 10
    assert await asyncio.gather(*(account.login() for account in accounts)) == [login_of(1)] * 20
    assert world.granted == 1
    refused = login_of(1)
    assert await asyncio.gather(*(account.login(refused=refused) for account in accounts)) == [login_of(2)] * 20
    assert world.granted == 2


async def test_a_new_process_uses_the_stored_tokens(world: World) -> None:
    await world.process().login()
    assert await world.process().login() == login_of(1)
    world.clock.seconds = 8000
    assert await world.process().login() == login_of(2)


async def test_a_token_is_on_disk_before_it_is_used_for_its_owner_only(world: World) -> None:
    await world.process().login()
    assert msgspec.json.decode(world.file.read_bytes(), type=Tokens).refresh_token == "refresh-1"
    assert [path.name for path in sorted(world.file.parent.iterdir())] == ["acme@pco.json", "acme@pco.lock"]
    assert (world.file.stat().st_mode & 0o777, world.file.parent.stat().st_mode & 0o777) == (0o600, 0o700)


async def test_tokens_that_could_not_be_written_are_written_first_thing(world: World) -> None:
    account = world.process()
    in_the_way = world.file.with_suffix(".new")
    in_the_way.mkdir(parents=True)
    with pytest.raises(Retryable, match=r"acme@pco\.json cannot be written"):
        await account.login()
    in_the_way.rmdir()
    assert await account.login() == login_of(1)
    assert world.file.is_file()


async def test_an_endpoint_that_does_not_rotate_keeps_its_token(world: World) -> None:
    world.rotates = False
    account = world.process()
    assert await account.login(refused=await account.login()) == login_of(2)


async def test_a_newly_configured_token_counts_instead_of_the_stored_ones(world: World) -> None:
    await world.process().login()
    world.environment["PCO_REFRESH"] = world.good = "refresh-new"
    assert await world.process().login() == login_of(2)


async def test_a_used_token_asks_for_a_person_and_shows_no_secret(world: World) -> None:
    world.good = "refresh-99"
    with pytest.raises(Rejected, match=r"acme/pco: .*invalid_grant.*Authorise Sluice again") as caught:
        await world.process().login()
    assert "refresh-0" not in str(caught.value)


@pytest.mark.parametrize(
    ("error", "why", "after_seconds"),
    [
        *((httpx.Response(status, headers={"Retry-After": "7"}), str(status), 7) for status in (429, 500, 503)),
        *((httpx.Response(200, content=body), "without a token", None) for body in (b"<html>", b"{}")),
        (httpx.Response(200, content=b'{"access_token":5}'), "without a token", None),
    ],
)
async def test_an_endpoint_in_trouble_is_worth_another_try(
    world: World, error: httpx.Response, why: str, after_seconds: float | None
) -> None:
    world.error = error
    account = world.process()
    with pytest.raises(Retryable, match=why) as caught:
        await account.login()
    assert caught.value.after_seconds == after_seconds
    world.error = None
    assert await account.login() == login_of(1)


async def test_a_damaged_file_is_named(world: World) -> None:
    world.file.parent.mkdir(parents=True)
    world.file.write_text("{")
    with pytest.raises(Rejected, match=r"acme@pco\.json cannot be read"):
        await world.process().login()


async def test_a_home_that_cannot_be_written_is_named(world: World) -> None:
    world.home.write_text("a file, not a directory")
    with pytest.raises(Rejected, match="SLUICE_HOME"):
        await world.process().login()


async def test_a_lock_that_is_never_released_is_retryable(world: World) -> None:
    world.file.parent.mkdir(parents=True)
    descriptor = os.open(world.file.with_suffix(".lock"), os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        with pytest.raises(Retryable, match="another sluice process has held"):
            await world.process().login()
    finally:
        os.close(descriptor)
    assert world.clock.seconds > LOCK_SECONDS_MAX


async def test_who_is_cancelled_takes_no_token_along(world: World) -> None:
    account = world.process()
    task = asyncio.create_task(account.login())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert await account.login() == login_of(1)
    assert world.granted == 1


def test_tokens_show_no_secret() -> None:
    assert "refresh" not in repr(Tokens("access", "refresh", None, "origin"))
