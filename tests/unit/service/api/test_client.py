"""The client against made-up answers, with a clock that its own waiting moves."""

import asyncio
import random
import tomllib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from agents.core.retry import PAGE as POLICY
from agents.ports import PageBody, Parent
from agents.records.reader import read_page
from manifests.entity import AdapterFile, Entity
from service.api import client as module
from service.api.client import PATIENCE_SECONDS_MAX, RETRY_SECONDS_MAX, ApiClient
from service.api.connections import Auth, BasicAuth, BearerAuth, Connection, NoAuth
from service.api.errors import Gone
from service.api.http import USER_AGENT
from service.api.requests import page_request
from tests.support.http import MemoryTransport
from topics.errors import Rejected, Retryable

SECRET = "pco-secret-77"
BASE = "https://api.example.org"
ADAPTER = AdapterFile.model_validate(
    {
        "name": "pco",
        "title": "An API",
        "base_url": BASE,
        "headers": {"Accept": "application/vnd.api+json"},
        "body": {"records": "data", "next": "links.next"},
        "limit": {"requests": 100, "seconds": 20, "limit_header": "X-Limit", "count_header": "X-Count"},
    }
)
EMAILS = Entity.model_validate({"name": "people.email", "path": "/people/v2/emails", "headers": {"X-Version": "2025"}})
MEMBERS = Entity.model_validate(
    {
        "name": "groups.membership",
        "path": "/groups/{id}/memberships",
        "under": {"entity": "groups.group", "column": "group_id"},
    }
)
BASIC = BasicAuth(kind="basic", id=SecretStr("literal:acme"), secret=SecretStr(f"literal:{SECRET}"))
NONE = NoAuth(kind="none")
PAGE = b'{"data":[{"id":"1"}]}'


class MovedClock:
    """A clock that its own `sleep` moves."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.slept: list[float] = []
        self.stands_still = False
        self.is_slept = asyncio.Event()

    def now(self) -> datetime:
        return datetime(2026, 1, 5, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.is_slept.set()
        if self.stands_still:
            await asyncio.Event().wait()
        self.slept.append(seconds)
        self.seconds += seconds
        await asyncio.sleep(0)


@dataclass(frozen=True)
class Said:
    """An answer that can be given many times."""

    status: int
    content: bytes
    headers: tuple[tuple[str, str], ...]

    def response(self) -> httpx.Response:
        return httpx.Response(self.status, headers=list(self.headers), stream=httpx.ByteStream(self.content))


class World:
    """A client, and an API that answers by a list; its last line is repeated."""

    def __init__(self, *answers: Said | Exception, auth: Auth = BASIC, **connection: Any) -> None:
        self.clock = MovedClock()
        self.asked: list[httpx.Request] = []
        self.asked_at: list[float] = []
        self._answers = list(answers)
        self._connection = Connection("acme", "pco", auth, **connection)
        self.client = ApiClient(
            self.clock,
            random.Random(7),
            Path("unused"),
            {},
            MemoryTransport(self._answer),
            self.clock.sleep,
        )

    async def get(self, parent: Parent | None = None) -> PageBody:
        entity = MEMBERS if parent else EMAILS
        request = page_request(ADAPTER, entity, "acme", BASE, parent=parent)
        read = partial(read_page, adapter=ADAPTER, entity=entity)
        return await self.client.get(self._connection, ADAPTER, entity, request, read)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        self.asked_at.append(self.clock.seconds)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer.response()


def answer(status: int = 200, content: bytes = PAGE, **headers: str) -> Said:
    return Said(status, content, tuple((name.replace("_", "-"), value) for name, value in headers.items()))


async def test_a_page_is_read() -> None:
    assert [row.key for row in (await World(answer()).get()).rows] == ["1"]


async def test_a_request_has_the_login_and_the_headers_of_adapter_and_entity() -> None:
    world = World(answer())
    await world.get()
    headers = world.asked[0].headers
    assert headers["Authorization"] == "Basic YWNtZTpwY28tc2VjcmV0LTc3"
    assert headers.get_list("Accept") == ["application/vnd.api+json"]
    assert headers["X-Version"] == "2025"


async def test_without_a_login_none_is_sent() -> None:
    world = World(answer(), auth=NONE)
    await world.get()
    assert "Authorization" not in world.asked[0].headers


def test_the_version_is_the_projects() -> None:
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    assert f"sluice/{project['version']}" == USER_AGENT


@pytest.mark.parametrize(
    "failure",
    [
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("slow"),
        httpx.ReadError("half a body"),
        httpx.RemoteProtocolError("not HTTP"),
        answer(408),
        answer(429, retry_after="1"),
        answer(500),
        answer(502, b"<html><body><h1>Bad Gateway</h1></body></html>"),
        answer(503),
        answer(504),
        answer(200, b'{"data":[{"id":"1"}'),
        answer(200, b"<html>maintenance</html>"),
        answer(200, b'{"errors":[]}'),
        answer(200, b"\x1f\x8b not gzip", content_encoding="gzip"),
    ],
)
async def test_a_passing_fault_is_tried_again(failure: Said | Exception) -> None:
    world = World(failure, answer())
    assert (await world.get()).records == 1
    assert len(world.asked) == 2


async def test_after_the_last_attempt_the_error_has_the_last_reason() -> None:
    world = World(answer(503, b'{"errors":[{"title":"Down","detail":"back soon"}]}'))
    with pytest.raises(Retryable) as caught:
        await world.get()
    assert len(world.asked) == POLICY.attempts_max
    assert str(caught.value) == (
        "acme/pco: GET /people/v2/emails answered 503 (Service Unavailable): Down: back soon (attempt 6 of 6)"
    )


async def test_waits_grow_but_never_beyond_their_bound() -> None:
    world = World(answer(500))
    with pytest.raises(Retryable):
        await world.get()
    assert len(world.asked) == len(world.clock.slept) + 1 == POLICY.attempts_max
    assert all(wait <= POLICY.wait_seconds(number) for number, wait in enumerate(world.clock.slept, 1))
    assert len(set(world.clock.slept)) == len(world.clock.slept)


async def test_no_attempt_begins_after_the_time_for_a_page() -> None:
    world = World(answer(503, retry_after="80"))
    with pytest.raises(Retryable):
        await world.get()
    assert world.clock.seconds <= RETRY_SECONDS_MAX
    assert len(world.asked) == 3


async def test_retry_after_is_waited_for() -> None:
    world = World(answer(503, retry_after="12"), answer())
    await world.get()
    assert world.clock.slept == [12.0]


async def test_retry_after_may_be_a_date() -> None:
    world = World(answer(503, retry_after="Mon, 05 Jan 2026 00:00:30 GMT"), answer())
    await world.get()
    assert world.clock.slept == [30.0]


@pytest.mark.parametrize("value", ["soon", "-5", "", "Mon, 05 Jan 2020 00:00:30 GMT"])
async def test_a_retry_after_without_sense_waits_as_usual(value: str) -> None:
    world = World(answer(503, retry_after=value), answer())
    await world.get()
    assert 0 <= world.clock.slept[0] <= POLICY.first_seconds


async def test_a_wait_that_is_too_long_for_a_page_is_retryable_with_the_time() -> None:
    world = World(answer(503, retry_after="3600"))
    with pytest.raises(Retryable) as caught:
        await world.get()
    assert (len(world.asked), world.clock.slept, caught.value.after_seconds) == (1, [], 3600.0)
    assert PATIENCE_SECONDS_MAX < 3600


async def test_after_a_429_no_other_page_of_the_connection_is_asked_for_either() -> None:
    world = World(answer(429, x_limit="100", x_count="118", retry_after="19"), answer())
    await asyncio.gather(world.get(), world.get(), world.get())
    assert world.asked_at[0] == 0
    assert len(world.asked_at) == 4
    assert min(world.asked_at[1:]) >= 19


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 410, 422])
async def test_what_a_repetition_cannot_change_is_rejected_at_once(status: int) -> None:
    world = World(answer(status, b'{"errors":[{"title":"No","detail":"because"}]}'))
    with pytest.raises(Rejected, match=rf"^acme/pco: GET /people/v2/emails answered {status} .*: No: because$"):
        await world.get()
    assert len(world.asked) == 1


@pytest.mark.parametrize("status", [404, 410])
async def test_under_a_parent_that_is_no_more_the_page_is_gone(status: int) -> None:
    with pytest.raises(Gone, match="/groups/12/memberships"):
        await World(answer(status)).get(Parent("12", {}))


async def test_a_top_level_404_is_a_mistake_and_not_a_missing_parent() -> None:
    with pytest.raises(Rejected) as caught:
        await World(answer(404)).get()
    assert not isinstance(caught.value, Gone)


@pytest.mark.parametrize("location", ["https://evil.example.org/x", "/people/v2/people", ""])
async def test_redirects_are_not_followed(location: str) -> None:
    world = World(answer(302, location=location))
    with pytest.raises(Rejected, match="redirects are not followed"):
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


async def test_an_error_shows_no_query() -> None:
    entity = EMAILS.model_copy(update={"reads": EMAILS.reads.model_validate({"full": {"query": {"key": SECRET}}})})
    world = World(answer(400), auth=NONE)
    request = page_request(ADAPTER, entity, "acme", BASE)
    with pytest.raises(Rejected) as caught:
        await world.client.get(Connection("acme", "pco", NONE), ADAPTER, entity, request, len)
    assert SECRET not in str(caught.value)


async def test_connections_do_not_wait_for_each_other() -> None:
    world = World(answer(429, retry_after="60"), answer(), auth=NONE)
    world.clock.stands_still = True
    waiting = asyncio.create_task(world.get())
    await world.clock.is_slept.wait()
    request = page_request(ADAPTER, EMAILS, "other", BASE)
    await world.client.get(Connection("other", "pco", NONE), ADAPTER, EMAILS, request, len)
    assert not waiting.done()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


async def test_the_connections_that_are_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CONNECTIONS_MAX", 2)
    world = World(answer(), auth=NONE)
    request = page_request(ADAPTER, EMAILS, "acme", BASE)
    for org in ("a", "b", "c", "d"):
        await world.client.get(Connection(org, "pco", NONE), ADAPTER, EMAILS, request, len)
    assert len(world.client._states) == 2


@pytest.mark.parametrize(("status", "location"), [(420, ""), (399, "http://[")])
async def test_a_status_without_a_name_is_an_answer_too(status: int, location: str) -> None:
    with pytest.raises(Rejected, match=f"answered {status}"):
        await World(answer(status, location=location)).get()


async def test_a_reader_that_rejects_is_not_asked_again() -> None:
    world = World(answer())
    request = page_request(ADAPTER, EMAILS, "acme", BASE)

    def refuse(body: bytes) -> None:
        raise Rejected("not this one")

    with pytest.raises(Rejected, match="not this one"):
        await world.client.get(Connection("acme", "pco", NONE), ADAPTER, EMAILS, request, refuse)
    assert len(world.asked) == 1
