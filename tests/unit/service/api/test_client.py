"""The client against made-up answers, with a clock that its own waiting moves."""

import asyncio
import random
import time
import tomllib
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec.structs import replace
from pydantic import SecretStr

from agents.core.retry import PAGE as POLICY
from agents.ports import PageBody, Parent
from agents.records.reader import read_page
from manifests.entity import Entity, RateLimit
from service.api import client as module
from service.api.client import PATIENCE_SECONDS_MAX, RETRY_SECONDS_MAX, ApiClient, Asked, Read
from service.api.connections import Auth, BasicAuth, BearerAuth, Connection, NoAuth
from service.api.errors import Gone
from service.api.http import USER_AGENT
from service.api.requests import page_request
from tests.support.adapters import adapter, entity
from tests.support.http import MemoryTransport, MovedClock
from topics.errors import EXCERPT_CHARS_MAX, Rejected, Retryable

SECRET = "pco-secret-77"
BASE = "https://api.example.org"
LIMIT = RateLimit(requests=100, seconds=20, limit_header="X-Limit", count_header="X-Count")
ADAPTER = adapter().file.model_copy(update={"headers": {"Accept": "application/vnd.api+json"}, "limit": LIMIT})
EMAILS = entity("people.email", path="/people/v2/emails", headers={"X-Version": "2025"})
GROUP = {"entity": "groups.group", "column": "group_id"}
MEMBERS = entity("groups.membership", path="/groups/{id}/memberships", under=GROUP)
BASIC = BasicAuth(kind="basic", id=SecretStr("literal:acme"), secret=SecretStr(f"literal:{SECRET}"))
NONE = NoAuth(kind="none")
PAGE = b'{"data":[{"id":"1"}]}'


async def read_emails(body: bytes, asked: Asked) -> PageBody:
    return replace(read_page(body, ADAPTER, EMAILS), requested_at=asked.at)


class World:
    """A client, and an API that answers by a list; its last line is repeated."""

    def __init__(self, *answers: httpx.Response | Exception, auth: Auth = BASIC) -> None:
        self.clock = MovedClock()
        self.asked: list[httpx.Request] = []
        self.asked_at: list[float] = []
        self._answers = list(answers)
        self._auth = auth
        transport = MemoryTransport(self._answer)
        self.client = ApiClient(self.clock, random.Random(7), Path("unused"), {}, transport, self.clock.sleep)

    async def get(
        self,
        org: str = "acme",
        of: Entity = EMAILS,
        parent: Parent | None = None,
        read: Read[Any] = read_emails,
    ) -> Any:
        request = page_request(ADAPTER, of, org, BASE, parent=parent)
        return await self.client.get(Connection(org, "pco", self._auth), ADAPTER, of, request, read)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        self.asked_at.append(self.clock.seconds)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def answer(status: int = 200, content: bytes = PAGE, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, content=content, headers=named)


async def test_a_page_is_asked_for_with_the_login_and_the_headers_of_adapter_and_entity_and_read() -> None:
    world = World(answer())
    assert [row.key for row in (await world.get()).rows] == ["1"]
    headers = world.asked[0].headers
    assert headers["Authorization"] == "Basic YWNtZTpwY28tc2VjcmV0LTc3"
    assert headers.get_list("Accept") == ["application/vnd.api+json"]
    assert headers["X-Version"] == "2025"


def test_the_version_is_the_projects() -> None:
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    assert f"sluice/{project['version']}" == USER_AGENT


@pytest.mark.parametrize(
    "failure",
    [
        httpx.ReadError("half a body"),
        *(answer(status, b"<html>trouble</html>") for status in (408, 429, 500, 502, 503, 504)),
        *(answer(200, half) for half in (b'{"data":[{"id":"1"}', b"<html>maintenance</html>", b'{"errors":[]}')),
    ],
)
async def test_a_passing_fault_is_tried_again(failure: httpx.Response | Exception) -> None:
    world = World(failure, answer())
    assert (await world.get()).records == 1
    assert len(world.asked) == 2


async def test_after_growing_waits_and_the_last_attempt_the_error_has_the_last_reason() -> None:
    world = World(answer(503, b'{"errors":[{"title":"Down","detail":"back soon"}]}'))
    with pytest.raises(Retryable) as caught:
        await world.get()
    assert str(caught.value) == (
        "acme/pco: GET /people/v2/emails answered 503 (Service Unavailable): Down: back soon (attempt 6 of 6)"
    )
    slept = world.clock.slept
    assert len(world.asked) == len(slept) + 1 == POLICY.attempts_max
    assert all(wait <= POLICY.wait_seconds(number) for number, wait in enumerate(slept, 1))
    assert len(set(slept)) == len(slept)


async def test_no_attempt_begins_after_the_time_for_a_page() -> None:
    world = World(answer(503, retry_after="80"))
    with pytest.raises(Retryable):
        await world.get()
    assert world.clock.seconds <= RETRY_SECONDS_MAX
    assert len(world.asked) == 3


@pytest.mark.parametrize(
    ("value", "least", "most"),
    [
        ("12", 12.0, 12.0),
        ("Mon, 05 Jan 2026 00:00:30 GMT", 30.0, 30.0),
        *((senseless, 0, POLICY.first_seconds) for senseless in ("soon", "-5", "", "Mon, 05 Jan 2020 00:00:30 GMT")),
    ],
)
async def test_a_retry_after_in_seconds_or_as_a_date_is_waited_for_and_one_without_sense_is_not(
    value: str, least: float, most: float
) -> None:
    world = World(answer(503, retry_after=value), answer())
    await world.get()
    assert least <= world.clock.slept[0] <= most


async def test_a_wait_that_is_too_long_for_a_page_is_retryable_with_the_time() -> None:
    world = World(answer(503, retry_after="3600"))
    with pytest.raises(Retryable, match=r"503 \(Service Unavailable\); it asks for a wait of 3600 s") as caught:
        await world.get()
    assert (len(world.asked), world.clock.slept, caught.value.after_seconds) == (1, [], 3600.0)
    assert PATIENCE_SECONDS_MAX < 3600


async def test_after_a_429_no_other_page_of_the_connection_is_asked_for_either() -> None:
    world = World(answer(429, x_limit="100", x_count="118", retry_after="19"), answer())
    await asyncio.gather(world.get(), world.get(), world.get())
    assert world.asked_at[0] == 0
    assert len(world.asked_at) == 4
    assert min(world.asked_at[1:]) >= 19


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 410, 420, 422])
async def test_what_a_repetition_cannot_change_is_rejected_at_once(status: int) -> None:
    world = World(answer(status, b'{"errors":[{"title":"No","detail":"because"}]}'))
    said = rf"^acme/pco: GET /people/v2/emails answered {status}( \(.+\))?: No: because$"
    with pytest.raises(Rejected, match=said) as caught:
        await world.get()
    assert len(world.asked) == 1
    assert not isinstance(caught.value, Gone)


@pytest.mark.parametrize("status", [404, 410])
async def test_under_a_parent_that_is_no_more_the_page_is_gone(status: int) -> None:
    with pytest.raises(Gone, match="/groups/12/memberships"):
        await World(answer(status)).get(of=MEMBERS, parent=Parent("12", {}))


@pytest.mark.parametrize(
    ("status", "location", "said"),
    [
        (302, f"https://sluice:{SECRET}@other.example/x?key={SECRET}", r"302 \(Found\) to other.example"),
        (302, "/people/v2/people", r"302 \(Found\) to another path"),
        (302, "", r"302 \(Found\) to another path"),
        (399, "http://[", "399 to an unreadable address"),
    ],
)
async def test_redirects_are_not_followed(status: int, location: str, said: str) -> None:
    world = World(answer(status, location=location))
    with pytest.raises(Rejected, match=rf"emails answered {said}: redirects are not followed; put right base_url$"):
        await world.get()
    assert len(world.asked) == 1


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"errors":[{"title":"A","detail":"b"},{"detail":"c"}]}', ": A: b; c"),
        (b'{"error":"invalid_grant","error_description":"used"}', ": invalid_grant: used"),
        (b'{"message":"no such thing"}', ": no such thing"),
        (
            b"<html><head><title>x</title></head><body>\n HTTP Basic: \x07Access  denied.</body></html>",
            ": HTTP Basic: Access denied.",
        ),
        (b'"text"', ""),
        (b"", ""),
        (b"\xff", ": \ufffd"),
        (b"x" * 1000, ": " + "x" * 299 + "…"),
    ],
)
async def test_the_apis_own_words_are_quoted_shortened(body: bytes, said: str) -> None:
    with pytest.raises(Rejected) as caught:
        await World(answer(409, body)).get()
    assert str(caught.value) == f"acme/pco: GET /people/v2/emails answered 409 (Conflict){said}"


@pytest.mark.parametrize("piece", [b"<", b"<head ", b"<script>", b"[", b'{"errors":[', b"\xff"])
async def test_an_error_is_quoted_in_no_time_whatever_its_body_holds(piece: bytes) -> None:
    """64 KB of them took four seconds and more, in which nothing else ran."""
    began = time.process_time()
    with pytest.raises(Rejected, match="409"):
        await World(answer(409, piece * 500_000)).get()
    assert time.process_time() - began < 1


@pytest.mark.parametrize("status", [200, 401, 422, 503])
@pytest.mark.parametrize("auth", [BASIC, BearerAuth(kind="bearer", token=SecretStr(f"literal:{SECRET}"))])
async def test_no_error_shows_a_secret_that_the_api_says_back(
    status: int, auth: Auth, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    world = World(answer(), auth=auth)
    await world.get()
    echo = f"you sent {world.asked[0].headers['Authorization']}, that is {SECRET}".encode()
    with pytest.raises((Rejected, Retryable)) as caught:
        await World(answer(status, echo), auth=auth).get()
    assert SECRET not in str(caught.value)
    assert SECRET not in caplog.text + str([vars(record) for record in caplog.records])
    assert "***" in str(caught.value)


@pytest.mark.parametrize("form", ["{}{}", '{{"message": "{}{}"}}', "<p>{}{}</p>"])
async def test_a_secret_is_redacted_before_the_apis_words_are_cut(form: str) -> None:
    said = form.format("x" * (EXCERPT_CHARS_MAX - 5), SECRET)
    with pytest.raises(Rejected) as caught:
        await World(answer(409, said.encode()), auth=BASIC).get()
    assert f"x{SECRET[:3]}" not in str(caught.value)


async def test_an_error_shows_no_query() -> None:
    world = World(answer(400), auth=NONE)
    with pytest.raises(Rejected) as caught:
        await world.get(of=entity("people.email", reads={"full": {"query": {"key": SECRET}}}))
    assert SECRET in str(world.asked[0].url)
    assert SECRET not in str(caught.value)


async def test_connections_do_not_wait_for_each_other() -> None:
    world = World(answer(429, retry_after="3600"), answer())
    for _ in range(2):
        with pytest.raises(Retryable):
            await world.get()
    await world.get(org="other")
    assert world.asked_at == [0, 0]


async def test_the_connections_that_are_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CONNECTIONS_MAX", 2)
    world = World(answer())
    for org in ("a", "b", "c", "d"):
        await world.get(org)
    assert len(world.client._states) == 2


async def test_a_page_is_as_old_as_the_request_that_was_answered() -> None:
    """Not as that which failed before, and not as its reading."""
    world = World(answer(500), answer())

    async def read_slowly(body: bytes, asked: Asked) -> datetime:
        await world.clock.sleep(60)
        return asked.at

    midnight, requested_at = world.clock.now(), await world.get(read=read_slowly)
    assert (requested_at - midnight).total_seconds() == pytest.approx(world.asked_at[1], abs=1e-5)
    assert world.asked_at[1] > world.asked_at[0]


async def test_a_reader_that_rejects_is_not_asked_again() -> None:
    world = World(answer())

    async def refuse(body: bytes, asked: Asked) -> None:
        raise Rejected("not this one")

    with pytest.raises(Rejected, match=r"^acme/pco: GET /people/v2/emails: not this one$"):
        await world.get(read=refuse)
    assert len(world.asked) == 1
