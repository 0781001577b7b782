"""What the benchmark's figures rest on: its API, its data plane that does nothing, and how its journals are read."""

import os
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from manifests.loader import load_with
from service.api.limits import read_headers
from tests.bench import api, stub
from tests.bench.api import LIMIT, PERIOD_SECONDS, Api, Asked
from tests.bench.asked import by_kill, repeated, windows
from tests.bench.cluster import MANIFESTS
from tests.bench.commits import latencies
from tests.bench.parts import cpu_seconds, peak_mb
from tests.bench.shapes import SHAPES
from topics.codec import decode, encode
from topics.commands import ActionComplete, AnyCommand, Command, FetchPages, FinishRun, PageDone

WORKFLOW = "entity-sync:acme:bench:bench.contact:full"
LEASE = FetchPages(
    workflow=WORKFLOW,
    run=7,
    org="acme",
    adapter="bench",
    entity="bench.contact",
    type="full",
    lease=1,
    first=1,
    units=32,
)


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
    told = msgspec.json.decode(body := server.answer("/_asked?since=1")[0].partition(b"\r\n\r\n")[2], type=list[Asked])
    assert [(one.org, one.page, one.status) for one in told] == [("p9-x", 2, 200)], body


def test_one_request_too_many_is_refused_until_the_window_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Time()
    monkeypatch.setattr(api, "time", clock)
    server = Api()
    statuses = [status_of(server.answer("/l900-x/contacts")[0]) for _ in range(LIMIT + 1)]
    clock.now += PERIOD_SECONDS
    assert (statuses.count(200), statuses[-1]) == (LIMIT, 429)
    assert status_of(server.answer("/l900-x/contacts")[0]) == 200


def test_the_limit_is_told_as_planning_center_tells_it() -> None:
    lines = Api().answer("/l900-x/contacts")[0].decode().partition("\r\n\r\n")[0].splitlines()[1:]
    names = load_with(MANIFESTS).adapter("limited").file.limit
    reading = read_headers(dict(line.split(": ") for line in lines), names)
    assert (reading.limit, reading.count, reading.period) == (LIMIT, 1, PERIOD_SECONDS)


def told(command: Command, leases: int) -> AnyCommand:
    record: Any = SimpleNamespace(topic=command.topic, value=encode(command))
    ((topic, _), outs), *_ = stub.Stub(leases, lambda key: 0).answers([record]).items()
    return decode(topic, outs[0][1])


def test_a_lease_is_told_as_done_and_where_the_next_begins() -> None:
    answer = told(LEASE, leases=2)
    assert isinstance(answer, PageDone)
    assert (answer.units, answer.end, answer.next_cursor, answer.closed) == (32, False, "33", None)


def test_the_last_lease_closes_the_run_if_it_may() -> None:
    answer = told(LEASE.model_copy(update={"closes": True}), leases=1)
    assert isinstance(answer, PageDone)
    assert answer.closed is not None
    assert (answer.end, answer.closed.pages) == (True, 32)


def test_the_end_of_a_run_is_told_as_done() -> None:
    finish = FinishRun(workflow=WORKFLOW, run=7, org="acme", adapter="bench", outcome="cancelled")
    answer = told(finish, leases=1)
    assert isinstance(answer, ActionComplete)
    assert (answer.run, answer.outcome) == (7, "cancelled")


def test_a_page_that_was_asked_for_twice_was_late_from_the_first_time_on() -> None:
    asked = [Asked(1.0, "acme", 0, 200), Asked(2.0, "acme", 1, 200), Asked(3.0, "acme", 0, 200)]
    assert latencies(asked, {("acme", 0): 4.0, ("acme", 1): 2.5}) == [0.5, 3.0]


def test_a_request_counts_for_the_kill_before_it() -> None:
    asked = [Asked(at, "acme", page, 200) for at, page in ((1.0, 0), (2.0, 1), (5.0, 1), (5.1, 2), (9.0, 0))]
    assert by_kill(repeated(asked), [4.0, 8.0, 9.5]) == [1, 1, 0]


def test_a_window_opens_with_the_first_request_after_the_last_has_ended() -> None:
    asked = [Asked(at, "acme", 0, 200) for at in (0.0, 1.0, 20.5, 40.4, 40.6)]
    assert windows(asked) == [0.0, 20.5, 40.6]


def test_the_benchmark_itself_is_a_part_without_the_processes_that_it_started() -> None:
    ours = {"us": os.getpid()}
    assert cpu_seconds(ours)["us"] > 0
    assert peak_mb(ours)["us"] > 0
