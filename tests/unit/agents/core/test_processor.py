from dataclasses import replace

import msgspec
import pytest

from tables.requests import slot_of
from tables.row import HISTORY_MAX, HistoryEntry
from tests.engine.clock import T0
from tests.engine.engine import KEY
from tests.unit.agents.core.harness import DAY_MS, STALE, ProcessorBench, child_done, rejecting, start
from topics.catalog import WORKFLOW_RETENTION_MS
from topics.command import CancelRun, TimerDue
from topics.errors import Rejected
from topics.kinds.entity import PageDone

LOG = f"log:{KEY}"


@pytest.fixture
def bench() -> ProcessorBench:
    return ProcessorBench()


@pytest.fixture
def running(bench: ProcessorBench) -> ProcessorBench:
    """The record of a run in progress, put in epoch 1."""
    bench.deliver(start())
    return bench


@pytest.fixture
def ended(running: ProcessorBench) -> ProcessorBench:
    running.deliver(child_done())
    return running


def test_a_decision_is_a_request_a_record_and_the_commands_that_follow(bench: ProcessorBench) -> None:
    assert bench.deliver(start(), at=T0 + 5, epoch=3) == "decided"
    assert bench.context.puts == [LOG, KEY]  # a record may be lost behind its request, but no request behind its record
    assert (bench.row.epoch, bench.row.last_offset) == (3, {"start-sync": 0})
    assert bench.row.seq == T0 + 5  # above that of a record of this workflow that left the table
    assert (bench.row.due, bench.row.due_set_at) == (bench.state.due, T0 + 5)
    assert [(command.topic, trace) for command, trace in bench.context.sent] == [("control", f"{KEY}@{T0 + 5}")]
    assert bench.context.redelivered == [False]


def test_a_deadline_keeps_the_time_when_it_was_set_until_it_is_moved(running: ProcessorBench) -> None:
    running.deliver(start("request-2"), at=T0 + 5)
    assert running.row.due_set_at == T0
    running.deliver(child_done(), at=T0 + 7)
    assert (running.row.due, running.row.due_set_at) == (T0 + 7 + WORKFLOW_RETENTION_MS, T0 + 7)


def test_a_replay_is_put_and_sent_again_before_it_is_taken_for_a_duplicate(bench: ProcessorBench) -> None:
    delivery = bench.delivery(start())
    bench.process(delivery)
    row, sent = bench.row, bench.context.sent
    assert bench.process(delivery) == "replayed"
    assert (bench.row, bench.context.puts, bench.context.sent) == (row, [LOG, KEY], sent)
    assert bench.context.redelivered == [True]


def test_the_history_has_the_last_notable_transitions_with_their_causes_and_requests(bench: ProcessorBench) -> None:
    for number in range(HISTORY_MAX + 2):
        bench.deliver(start(f"request-{number}"), at=T0 + number)
    last = HISTORY_MAX + 1
    assert len(bench.row.history) == HISTORY_MAX
    assert bench.row.history[-1] == HistoryEntry(
        T0 + last, T0 + last, start(f"request-{last}").id, f"request request-{last} attached to run {KEY}@{T0}",
        f"request-{last}", T0,
    )  # fmt: skip


def test_a_delivery_that_changes_nothing_leaves_no_record(bench: ProcessorBench) -> None:
    assert bench.deliver(child_done()) == "ignored"
    assert bench.context.stored == {}


def test_a_workflow_of_no_known_kind_is_rejected_with_the_kinds_there_are(bench: ProcessorBench) -> None:
    with pytest.raises(Rejected, match="there are: entity-sync, main-sync"):
        bench.deliver(TimerDue(workflow="party:acme", due=1))


def test_a_group_that_begins_again_at_one_does_not_lower_the_epoch(bench: ProcessorBench) -> None:
    bench.deliver(start(), epoch=7)
    bench.deliver(child_done(), epoch=1)
    assert (bench.row.epoch, bench.row.seq) == (7, T0 + 1)


def test_the_first_delivery_of_an_epoch_puts_record_and_requests_under_it_even_if_it_changes_nothing(
    running: ProcessorBench,
) -> None:
    assert running.deliver(STALE, epoch=2) == "ignored"
    assert (running.row.epoch, running.row.seq, running.context.puts) == (2, T0, [LOG, KEY])
    assert running.context.get_requests(KEY, slot_of(T0)).epoch == 2
    assert running.deliver(STALE, epoch=2) == "ignored"
    assert running.has_no_effect


def test_a_rejected_command_leaves_its_offset_and_its_reason_and_nothing_else(running: ProcessorBench) -> None:
    before = running.row
    with pytest.raises(Rejected, match="in progress"):
        running.deliver(rejecting("request-2"))
    assert running.row == msgspec.structs.replace(before, last_offset={"start-sync": 1})
    assert running.context.puts == [LOG, KEY]


def test_a_rejected_command_to_a_workflow_that_is_not_there_leaves_nothing(bench: ProcessorBench) -> None:
    with pytest.raises(Rejected, match="not known"):
        bench.deliver(start(adapter="nobody"))
    assert bench.has_no_effect


def test_a_replay_of_a_rejected_request_is_rejected_again_even_when_it_could_be_accepted(
    running: ProcessorBench,
) -> None:
    rejected = running.delivery(rejecting("request-2"))
    with pytest.raises(Rejected, match="is in progress"):
        running.process(rejected)
    running.deliver(start("request-3"))
    running.deliver(child_done())
    state = running.state
    with pytest.raises(Rejected, match="is in progress"):
        running.process(rejected)
    assert running.state == state
    assert running.process(replace(rejected, offset=9)) == "decided"  # sent again by its sender


def test_a_replay_of_an_accepted_request_is_not_rejected_even_when_it_would_be_now(ended: ProcessorBench) -> None:
    accepted = ended.delivery(rejecting("request-2"))
    assert ended.process(accepted) == "decided"
    assert ended.process(accepted) == "replayed"
    assert ended.state.status == "running"


def test_a_replay_of_any_other_rejected_command_is_rejected_again(running: ProcessorBench) -> None:
    nonsense = running.delivery(PageDone(workflow=KEY, run=1, lease=1, units=0, pages=0, records=0))
    for _ in range(2):
        with pytest.raises(Rejected, match="a main sync takes no PageDone"):
            running.process(nonsense)


def test_a_timer_of_another_deadline_or_of_no_workflow_changes_nothing(running: ProcessorBench) -> None:
    due = running.row.due
    assert running.deliver(TimerDue(workflow=KEY, due=due - 1), at=due) == "ignored"
    assert running.deliver(TimerDue(workflow=f"{KEY}er", due=due), at=due) == "ignored"
    assert running.has_no_effect


def test_a_timer_before_its_time_is_postponed_by_what_the_brokers_clock_lacks(running: ProcessorBench) -> None:
    due = running.row.due
    for at, missing in ((T0, due - T0), (due - 1, 1)):
        assert running.deliver(TimerDue(workflow=KEY, due=due), at=at) == "ignored"
        assert running.context.postponed.pop() == (KEY, due, missing)
        assert running.has_no_effect
    timer = running.delivery(TimerDue(workflow=KEY, due=due), at=due)
    assert [running.process(timer) for _ in range(2)] == ["decided", "replayed"]
    assert running.context.postponed == []


def test_a_timer_counts_where_the_brokers_clock_was_put_back_behind_the_time_it_was_set(
    running: ProcessorBench,
) -> None:
    assert running.deliver(TimerDue(workflow=KEY, due=running.row.due), at=T0 - 1) == "decided"


def test_an_ended_record_leaves_the_table_with_the_requests_of_every_day_after_its_retention(
    running: ProcessorBench,
) -> None:
    running.deliver(start("request-2"), at=T0 + DAY_MS)
    running.deliver(child_done(), at=T0 + DAY_MS)
    due = T0 + DAY_MS + WORKFLOW_RETENTION_MS
    assert running.row.due == due
    assert running.deliver(TimerDue(workflow=KEY, due=due), at=due - 1) == "ignored"
    assert running.deliver(TimerDue(workflow=KEY, due=due), at=due) == "decided"
    assert (running.context.stored, running.context.puts) == ({}, [LOG, LOG, KEY])


def test_an_ended_record_with_a_deadline_of_its_own_stays(running: ProcessorBench) -> None:
    running.deliver(CancelRun(workflow=KEY, run=T0, reason="not today"))
    due = running.row.due
    assert running.deliver(TimerDue(workflow=KEY, due=due), at=due) == "decided"
    assert [type(command) for command, _ in running.context.sent] == [CancelRun]


def test_a_local_delivery_moves_no_offset(running: ProcessorBench) -> None:
    assert running.deliver_locally(child_done()) == "decided"
    assert (running.row.seq, running.row.last_offset) == (T0 + 1, {"start-sync": 0})


def test_a_local_delivery_that_changes_nothing_has_no_effect_in_the_same_epoch(running: ProcessorBench) -> None:
    assert running.deliver_locally(STALE) == "ignored"
    assert running.has_no_effect


@pytest.mark.parametrize(("epoch", "redelivered"), [(1, True), (2, False)])
def test_a_local_delivery_that_may_be_a_second_one_sends_pending_commands_again_once_in_a_batch(
    running: ProcessorBench, epoch: int, redelivered: bool
) -> None:
    """It follows from an event that is replayed: whatever followed from it may have been lost in a crash."""
    pending = running.context.sent
    assert running.deliver_locally(STALE, epoch, redelivered) == "replayed"
    assert (running.context.puts[-1], running.context.sent) == (KEY, pending)
    assert running.deliver_locally(STALE, epoch, redelivered) == "ignored"
    assert running.has_no_effect


def test_a_local_delivery_to_a_workflow_that_is_not_there_sends_nothing_again(bench: ProcessorBench) -> None:
    assert bench.deliver_locally(STALE, redelivered=True) == "ignored"
    assert bench.has_no_effect


def test_commands_that_follow_from_a_local_delivery_without_a_change_leave_no_record(running: ProcessorBench) -> None:
    assert running.deliver_locally(child_done(run=T0 + 1)) == "decided"
    assert (running.context.puts, len(running.context.sent)) == ([], 1)


def test_a_local_delivery_that_is_rejected_leaves_no_record(running: ProcessorBench) -> None:
    with pytest.raises(Rejected):
        running.deliver_locally(rejecting("request-2"))
    assert running.has_no_effect
