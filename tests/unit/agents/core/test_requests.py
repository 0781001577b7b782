import msgspec
import pytest

from tables import requests
from tables.requests import SLOTS, RequestLog, slot_of
from tests.engine.clock import T0
from tests.engine.engine import KEY
from tests.unit.agents.core.harness import DAY_MS, ProcessorBench, child_done, start
from topics.command import RetryNow
from topics.errors import Rejected

RETRY = RetryNow(workflow=KEY, request_id="retry-1")


@pytest.fixture
def bench() -> ProcessorBench:
    made = ProcessorBench()
    made.deliver(start())
    return made


@pytest.mark.parametrize(("days", "outcome"), [(0, "duplicate"), (7, "duplicate"), (8, "decided")])
def test_the_same_request_in_another_message_is_a_duplicate_for_a_week_even_after_its_run(
    bench: ProcessorBench, days: int, outcome: str
) -> None:
    bench.deliver(child_done())
    assert bench.deliver(start(), at=T0 + days * DAY_MS) == outcome
    assert bench.has_no_effect == (outcome == "duplicate")


def test_the_same_retry_twice_is_one(bench: ProcessorBench) -> None:
    assert [bench.deliver(RETRY) for _ in range(3)] == ["decided", "duplicate", "duplicate"]
    assert bench.deliver(RETRY.model_copy(update={"request_id": "retry-2"})) == "decided"


def test_a_request_that_changed_nothing_is_not_remembered(bench: ProcessorBench) -> None:
    bench.deliver(child_done())
    assert bench.deliver(RETRY) == "ignored"
    bench.deliver(start("request-2"))
    assert bench.deliver(RETRY) == "decided"


def test_neither_a_duplicate_nor_a_request_that_changed_nothing_is_rejected_when_it_is_replayed() -> None:
    bench = ProcessorBench()
    accepted, duplicate = (bench.delivery(start(on_conflict="reject")) for _ in range(2))
    ignored = bench.delivery(RETRY)
    outcomes = [bench.process(one) for one in (ignored, accepted, duplicate)]
    assert outcomes == ["ignored", "decided", "duplicate"]
    bench.deliver(start("request-2"))
    bench.deliver(child_done(run=T0 + 1))
    assert [bench.process(one) for one in (ignored, accepted, duplicate)] == ["replayed"] * 3


def test_a_request_whose_record_was_lost_in_a_crash_is_no_duplicate_when_its_message_is_read_again() -> None:
    bench = ProcessorBench()
    delivery = bench.delivery(start())
    bench.process(delivery)
    row = bench.row
    bench.context.delete(KEY, row)
    assert bench.process(delivery) == "decided"
    assert bench.row == row


def test_a_request_that_an_older_program_remembered_in_its_record_is_a_duplicate(bench: ProcessorBench) -> None:
    bench.context.put(KEY, msgspec.structs.replace(bench.row, request_ids=(start("request-0").id,)))
    assert bench.deliver(start("request-0")) == "duplicate"


def test_a_replayed_duplicate_is_no_request_too_many(bench: ProcessorBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "REQUESTS_MAX", 3)
    duplicate = bench.delivery(start())
    assert bench.process(duplicate) == "duplicate"
    for number in (2, 3):
        bench.deliver(start(f"request-{number}"))
    assert bench.process(duplicate) == "replayed"


def test_a_replayed_request_that_lost_its_log_is_a_duplicate_afterwards(bench: ProcessorBench) -> None:
    """A process that was frozen wrote both, and only its record was restored."""
    delivery = bench.delivery(start("request-2"))
    bench.process(delivery)
    bench.context.delete_requests(KEY, slot_of(T0), RequestLog())
    assert bench.process(delivery) == "replayed"
    assert bench.deliver(start("request-2")) == "duplicate"


def test_a_replayed_request_leaves_a_newer_days_log_in_its_place(bench: ProcessorBench) -> None:
    old, week_later = bench.delivery(start("request-2")), T0 + SLOTS * DAY_MS
    bench.process(old)
    bench.deliver(start("request-3"), at=week_later)
    assert bench.process(old) == "replayed"
    assert bench.deliver(start("request-3"), at=week_later) == "duplicate"


def test_the_requests_are_put_once_for_all_replays_of_a_batch(bench: ProcessorBench) -> None:
    deliveries = [bench.delivery(start(f"request-{number}")) for number in (2, 3)]
    for delivery in deliveries:
        bench.process(delivery)
    outcomes = [(bench.process(delivery), bench.context.puts) for delivery in deliveries]
    assert outcomes == [("replayed", [f"log:{KEY}", KEY]), ("replayed", [KEY])]


def test_more_requests_than_are_remembered_of_a_day_are_rejected_until_the_next_one(
    bench: ProcessorBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "REQUESTS_MAX", 3)
    for number in (2, 3):
        bench.deliver(start(f"request-{number}"))
    with pytest.raises(Rejected, match="the workflow has had 3 requests on one day, the most that are remembered"):
        bench.deliver(start("request-4"))
    assert bench.row.last_offset == {"start-sync": 3}
    assert bench.deliver(start("request-3")) == "duplicate"
    assert bench.deliver(start("request-4"), at=T0 + DAY_MS) == "decided"
