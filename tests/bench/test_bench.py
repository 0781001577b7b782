"""What the benchmark's figures rest on: its API, its data plane that does nothing, and how its journals are read."""

import os
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from agents.kinds import SHIPPED
from manifests.loader import load_with
from service.api.limits import read_headers
from tests.bench import api, stub
from tests.bench.api import LIMIT, PERIOD_SECONDS, Api, Request
from tests.bench.cluster import MANIFESTS
from tests.bench.commits import latencies
from tests.bench.parts import cpu_seconds, peak_mb
from tests.bench.requests import by_kill, repeated, windows
from tests.bench.shapes import SHAPES
from topics.actions import ActionComplete, RunAction
from topics.codec import encode
from topics.command import Command
from topics.kinds.entity import CLOSE_RUN, FetchPages, PageDone, RunClosed

WORKFLOW = "entity-sync:acme:bench:bench.contact:full"
LEASE = FetchPages(
    workflow=WORKFLOW, run=7, org="acme", adapter="bench", entity="bench.contact", type="full", lease=1, first=1,
    units=32,
)  # fmt: skip
CLOSE = RunAction(
    action=CLOSE_RUN, workflow=WORKFLOW, run=7, step="cancelled", org="acme", adapter="bench", attempt=2,
    input={"outcome": "cancelled"},
)  # fmt: skip
COMPLETE = ActionComplete(action=CLOSE_RUN, workflow=WORKFLOW, run=7, step="cancelled", attempt=2)


class Time:
    """The API's clock."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def time(self) -> float:
        return self.now


def body_of(answer: bytes) -> Any:
    return msgspec.json.decode(answer.partition(b"\r\n\r\n")[2])


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ")[1])


def pages_of(org: str, path: str) -> list[Any]:
    server, pages = Api(), []
    while path:
        pages.append(body_of(server.answer(path)[0]))
        path = pages[-1]["links"]["next"]
    return pages


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_an_organisation_has_as_many_records_as_its_shape_says(shape: Any) -> None:
    assert {api.amount(org) for org in shape.orgs("1")} == {shape.pages * shape.page_size}


def test_following_the_links_reads_every_record_once() -> None:
    pages = pages_of("p3-x", "/p3-x/contacts?per_page=25")
    numbers = [record["id"] for page in pages for record in page["data"]]
    assert numbers == [f"contacts-{number:08}" for number in range(75)]


def test_pages_rendered_ahead_are_the_same_as_those_that_are_not() -> None:
    server, path = Api(), "/p2-x/contacts?offset=25&per_page=25"
    fresh = server.answer(path)
    server.answer("/_render?orgs=p2-x&entity=contacts&per_page=25&keep=0")
    assert server.answer(path) == fresh


def test_every_request_is_in_the_journal() -> None:
    server = Api()
    for _ in range(2):
        server.answer("/p9-x/contacts?offset=50&per_page=25")
    requests = msgspec.convert(body_of(server.answer("/_requests?since=1")[0]), list[Request])
    assert [(one.org, one.page, one.status) for one in requests] == [("p9-x", 2, 200)]


def test_one_request_too_many_is_rejected_until_the_window_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Time()
    monkeypatch.setattr(api, "time", clock)
    server = Api()
    statuses = [status_of(server.answer("/l900-x/contacts")[0]) for _ in range(LIMIT + 1)]
    clock.now += PERIOD_SECONDS
    assert (statuses.count(200), statuses[-1]) == (LIMIT, 429)
    assert status_of(server.answer("/l900-x/contacts")[0]) == 200


def test_the_headers_of_the_limit_are_those_of_planning_center() -> None:
    lines = Api().answer("/l900-x/contacts")[0].decode().partition("\r\n\r\n")[0].splitlines()[1:]
    names = load_with(MANIFESTS).adapter("limited").file.limit
    reading = read_headers(dict(line.split(": ") for line in lines), names)
    assert (reading.limit, reading.count, reading.period) == (LIMIT, 1, PERIOD_SECONDS)


def result_of(command: Command, leases: int) -> Command:
    record: Any = SimpleNamespace(topic=command.topic, value=encode(command))
    ((topic, _), outs), *_ = stub.Stub(leases, lambda key: 0).results([record]).items()
    return SHIPPED.decode(topic, outs[0][1])


def test_a_lease_is_reported_as_done_with_where_the_next_begins() -> None:
    result = result_of(LEASE, leases=2)
    assert isinstance(result, PageDone)
    assert (result.units, result.end, result.next_cursor, result.closed) == (32, False, "33", None)


def test_the_last_lease_closes_the_run_if_it_may() -> None:
    result = result_of(LEASE.model_copy(update={"closes": True}), leases=1)
    assert isinstance(result, PageDone)
    assert result.closed is not None
    assert (result.end, result.closed.pages) == (True, 32)


def test_the_close_of_a_run_is_reported_as_done() -> None:
    result = result_of(CLOSE, leases=1)
    assert isinstance(result, ActionComplete)
    assert (result.id, result.run, RunClosed.of(result).outcome) == (COMPLETE.id, 7, "cancelled")


def test_the_latency_of_a_page_begins_with_its_first_request() -> None:
    requests = [Request(1.0, "acme", 0, 200), Request(2.0, "acme", 1, 200), Request(3.0, "acme", 0, 200)]
    assert latencies(requests, {("acme", 0): 4.0, ("acme", 1): 2.5}) == [0.5, 3.0]


def test_a_request_counts_for_the_kill_before_it() -> None:
    requests = [Request(at, "acme", page, 200) for at, page in ((1.0, 0), (2.0, 1), (5.0, 1), (5.1, 2), (9.0, 0))]
    assert by_kill(repeated(requests), [4.0, 8.0, 9.5]) == [1, 1, 0]


def test_a_window_opens_with_the_first_request_after_the_last_has_ended() -> None:
    requests = [Request(at, "acme", 0, 200) for at in (0.0, 1.0, 20.5, 40.4, 40.6)]
    assert windows(requests) == [0.0, 20.5, 40.6]


def test_the_benchmark_itself_is_a_part_without_the_processes_that_it_started() -> None:
    ours = {"us": os.getpid()}
    assert cpu_seconds(ours)["us"] > 0
    assert peak_mb(ours)["us"] > 0
