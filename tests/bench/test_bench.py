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
from tests.bench.accounts import by_kill, latencies, repeated, windows
from tests.bench.api import LIMIT, PERIOD_SECONDS, Api, Request
from tests.bench.cluster import MANIFESTS
from tests.bench.parts import cpu_seconds, peak_mb
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


def body_of(answer: bytes) -> Any:
    return msgspec.json.decode(answer.partition(b"\r\n\r\n")[2])


def test_an_organisation_has_as_many_records_as_its_shape_says_and_the_links_lead_to_each_once() -> None:
    assert [{api.amount(org) for org in one.orgs("1")} for one in SHAPES] == [
        {one.pages * one.page_size} for one in SHAPES
    ]
    server, numbers, path = Api(), [], "/p3-x/contacts?per_page=25"
    server.answer("/_render?orgs=p3-x&entity=contacts&per_page=25&keep=0")
    while path:
        page = body_of(server.answer(path)[0])
        numbers += [record["id"] for record in page["data"]]
        path = page["links"]["next"]
    assert numbers == [f"contacts-{number:08}" for number in range(75)]
    requests = msgspec.convert(body_of(server.answer("/_requests?since=1")[0]), list[Request])
    assert [(one.org, one.page, one.status) for one in requests] == [("p3-x", 1, 200), ("p3-x", 2, 200)]


def test_one_request_too_many_is_rejected_in_the_words_of_planning_center_until_the_window_has_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1_000.0
    monkeypatch.setattr(api, "time", SimpleNamespace(time=lambda: now))
    server = Api()
    answers = [server.answer("/l900-x/contacts")[0] for _ in range(LIMIT + 1)]
    now += PERIOD_SECONDS
    answers.append(server.answer("/l900-x/contacts")[0])
    assert [answer.split(b" ")[1] for answer in answers] == [*[b"200"] * LIMIT, b"429", b"200"]
    lines = answers[0].decode().partition("\r\n\r\n")[0].splitlines()[1:]
    reading = read_headers(dict(line.split(": ") for line in lines), load_with(MANIFESTS).adapter("limited").file.limit)
    assert (reading.limit, reading.count, reading.period) == (LIMIT, 1, PERIOD_SECONDS)


def result_of(command: Command, leases: int) -> Command:
    record: Any = SimpleNamespace(topic=command.topic, value=encode(command))
    ((topic, _), outs), *_ = stub.Stub(leases, lambda key: 0).results([record]).items()
    return SHIPPED.decode(topic, outs[0][1])


def test_whatever_is_asked_of_the_data_plane_is_reported_as_done() -> None:
    lease, last, close = (
        result_of(LEASE, 2),
        result_of(LEASE.model_copy(update={"closes": True}), 1),
        result_of(CLOSE, 1),
    )
    assert isinstance(lease, PageDone)
    assert (lease.units, lease.end, lease.next_cursor, lease.closed) == (32, False, "33", None)
    assert isinstance(last, PageDone)
    assert (last.end, last.closed and last.closed.pages) == (True, 32)
    assert isinstance(close, ActionComplete)
    assert (close.id, close.run, RunClosed.of(close).outcome) == (COMPLETE.id, 7, "cancelled")


def requests_at(*found: tuple[float, int]) -> list[Request]:
    return [Request(at, "acme", page, 200) for at, page in found]


def test_the_accounts_are_read_from_the_first_request_for_a_page_from_a_kill_and_from_a_window_on() -> None:
    committed = {("acme", 0): 4.0, ("acme", 1): 2.5}
    assert latencies(requests_at((1.0, 0), (2.0, 1), (3.0, 0)), committed) == [0.5, 3.0]
    again = repeated(requests_at((1.0, 0), (2.0, 1), (5.0, 1), (5.1, 2), (9.0, 0)))
    assert by_kill(again, [4.0, 8.0, 9.5]) == [1, 1, 0]
    assert windows(requests_at(*((at, 0) for at in (0.0, 1.0, 20.5, 40.4, 40.6)))) == [0.0, 20.5, 40.6]


def test_the_benchmark_itself_is_a_part_without_the_processes_that_it_started() -> None:
    ours = {"us": os.getpid()}
    assert cpu_seconds(ours)["us"] > 0
    assert peak_mb(ours)["us"] > 0
