from dataclasses import replace
from typing import Any

import msgspec
import pytest

from agents.core.processor import Event, Outcome, Processor
from agents.deciders.entity import EntityDecider
from agents.deciders.sync import SyncDecider
from tables.catalog import State
from tables.kinds.sync import SyncState
from tables.row import HISTORY_MAX, REQUEST_IDS_MAX, Row
from tests.engine.engine import KEY, Engine
from tests.engine.local import Crash
from tests.support.adapters import adapter, entity, toy, toy_data
from tests.support.scenario import T0
from topics.commands import CancelRun, ChildDone, Command, StartSync, TimerDue
from topics.errors import Rejected


class Table:
    """A room in memory. `emitted` holds commands and the runs they belong to, `puts` the keys that were written."""

    def __init__(self) -> None:
        self.rows: dict[str, Row[State]] = {}
        self.puts: list[str] = []
        self.emitted: list[tuple[Command, str]] = []
        self.repeated: set[str] = set()

    def get(self, key: str) -> Row[State] | None:
        return self.rows.get(key)

    def put(self, key: str, row: Row[State] | None) -> None:
        self.puts.append(key)
        self.rows.pop(key, None)
        if row is not None:
            self.rows[key] = row

    def emit(self, command: Command, trace: str, redelivered: bool = False) -> None:
        self.emitted.append((command, trace))

    def first_redelivery(self, key: str) -> bool:
        return key not in self.repeated


class ProcessorHarness:
    """A shell with one entity to sync, its table, and the next offset of each topic."""

    def __init__(self) -> None:
        known = {"toy": adapter(entity("a.pet"))}
        self.shell = Processor({"main-sync": SyncDecider(known), "entity-sync": EntityDecider(known)})
        self.table = Table()
        self.offsets: dict[str, int] = {}

    def event(self, command: Command, at: int = T0, generation: int = 1) -> Event:
        offset = self.offsets[command.topic] = self.offsets.get(command.topic, -1) + 1
        return Event(command.topic, offset, at, generation, command)

    def hand(self, command: Command, at: int = T0, generation: int = 1) -> Outcome:
        return self.take(self.event(command, at, generation))

    def hand_over(self, command: Command, generation: int = 1, redelivered: bool = False) -> Outcome:
        """As one workflow of a partition does to another."""
        return self.take(Event("", None, T0, generation, command, redelivered))

    def take(self, event: Event) -> Outcome:
        self.table.puts, self.table.emitted = [], []
        return self.shell.handle(event, self.table)

    @property
    def row(self) -> Row[State]:
        return self.table.rows[KEY]


def start(request: str = "request-1", **more: Any) -> StartSync:
    return StartSync.model_validate({"org": "acme", "adapter": "toy", "type": "full", "request_id": request, **more})


def told(run: int = T0) -> ChildDone:
    return ChildDone(workflow=KEY, parent_run=run, entity="a.pet", child_run_id="c@1", outcome="done")


def test_a_decision_is_one_record_and_its_commands() -> None:
    desk = ProcessorHarness()
    assert desk.hand(start(), generation=3) == "decided"
    assert (desk.row.generation, desk.row.seq, desk.row.last_offset) == (3, T0, {"start-sync": 0})
    assert desk.row.state is not None
    assert desk.row.due == desk.row.state.due
    assert [(command.topic, trace) for command, trace in desk.table.emitted] == [("control", f"{KEY}@{T0}")]


def test_a_replay_is_put_again_and_what_is_owed_is_sent_again() -> None:
    desk = ProcessorHarness()
    event = desk.event(start())
    desk.take(event)
    row, emitted = desk.row, desk.table.emitted
    assert desk.take(event) == "replayed"
    assert (desk.row, desk.table.puts, desk.table.emitted) == (row, [KEY], emitted)


def test_a_replay_is_recognised_before_an_echo() -> None:
    desk = ProcessorHarness()
    event = desk.event(start())
    desk.take(event)
    assert event.command.id in desk.row.seen
    assert desk.take(event) == "replayed"


def test_a_replay_of_one_topic_says_nothing_about_another() -> None:
    desk = ProcessorHarness()
    desk.hand(start())
    assert desk.take(Event("control", 0, T0, 1, told())) == "decided"


def test_the_same_request_is_an_echo_even_after_its_run() -> None:
    desk = ProcessorHarness()
    desk.hand(start())
    desk.hand(told())
    assert desk.hand(start()) == "echo"
    assert (desk.table.puts, desk.table.emitted) == ([], [])


def test_a_start_whose_request_is_forgotten_is_one_more_request() -> None:
    desk = ProcessorHarness()
    desk.hand(start())
    for number in range(REQUEST_IDS_MAX):
        desk.hand(start(f"other-{number}"))
    assert len(desk.row.seen) == REQUEST_IDS_MAX
    assert desk.hand(start()) == "decided"


def test_the_trail_remembers_the_last_notable_transitions_with_their_causes() -> None:
    desk = ProcessorHarness()
    for number in range(HISTORY_MAX + 2):
        desk.hand(start(f"request-{number}"), at=T0 + number)
    newest = desk.row.trail[-1]
    assert len(desk.row.trail) == HISTORY_MAX
    assert (newest.seq, newest.at, newest.cause) == (T0 + 17, T0 + 17, start("request-17").id)


def test_an_event_that_changes_nothing_leaves_no_record() -> None:
    desk = ProcessorHarness()
    assert desk.hand(told()) == "ignored"
    assert desk.table.rows == {}


def test_of_a_rejected_command_only_the_offset_is_remembered_and_it_is_accepted_when_it_is_sent_again() -> None:
    desk = ProcessorHarness()
    with pytest.raises(Rejected, match="not known"):
        desk.hand(start(adapter="nobody"))
    desk.hand(start())
    before = desk.row
    refused = desk.event(start("request-2", on_conflict="reject"))
    with pytest.raises(Rejected, match="in progress"):
        desk.take(refused)
    assert desk.row == msgspec.structs.replace(before, last_offset={"start-sync": 2})
    desk.hand(told())
    assert desk.take(replace(refused, offset=9)) == "decided"


def test_a_workflow_of_no_known_kind_is_refused_with_the_kinds_there_are() -> None:
    with pytest.raises(Rejected, match="there are: entity-sync, main-sync"):
        ProcessorHarness().hand(TimerDue(workflow="party:acme", due=1))


def test_a_group_that_starts_again_at_one_does_not_lower_the_generation() -> None:
    desk = ProcessorHarness()
    desk.hand(start(), generation=7)
    desk.hand(told(), generation=1)
    assert (desk.row.generation, desk.row.seq) == (7, T0 + 1)


def test_a_record_whose_time_is_over_leaves_the_table() -> None:
    desk = ProcessorHarness()
    desk.hand(start())
    desk.hand(told())
    desk.hand(TimerDue(workflow=KEY, due=desk.row.due), at=desk.row.due)
    assert (desk.table.rows, desk.table.puts) == ({}, [KEY])


async def cancelled_engine(fatal: int) -> tuple[Engine, int]:
    """A run that is cancelled while it is under way, with a crash at the instant `fatal` after that."""
    left = fatal
    is_cancelled = False

    def crash(instant: str) -> None:
        nonlocal left
        left -= is_cancelled
        if is_cancelled and left == -1:
            raise Crash(instant)

    engine = Engine(data=toy_data(houses=9, rooms=0, pets=9, guests=1, logs=1_200), adapter=toy(), may_crash=crash)

    def cancel(ask: object) -> None:
        nonlocal is_cancelled
        if not is_cancelled:
            is_cancelled = True
            engine.tell(CancelRun(workflow=KEY, run=engine.sync().run, reason="not today"))

    engine.source.on_fetch = cancel
    engine.start("request-1")
    await engine.settle()
    return engine, fatal - left


async def test_a_cancellation_reaches_every_child_whatever_the_instant_of_a_crash() -> None:
    _, instants = await cancelled_engine(10_000)
    for fatal in range(instants):
        engine, _ = await cancelled_engine(fatal)
        assert engine.crashes == 1
        state: SyncState = engine.sync()
        running = [name for name, child in state.children.items() if child.started_at]
        assert {engine.entity(name).status for name in running} <= {"cancelled", "done"}, f"crash at {fatal}"
        assert len(engine.keys("a.log")) < 1_200, "it was read on after the cancellation"


def test_the_first_event_of_a_generation_puts_the_record_under_it_even_if_it_changes_nothing() -> None:
    desk = ProcessorHarness()
    desk.hand(start(), generation=1)
    assert desk.hand(told(run=T0 - 1), generation=2) == "ignored"
    assert (desk.row.generation, desk.row.seq, desk.table.puts) == (2, T0, [KEY])
    assert desk.hand(told(run=T0 - 1), generation=2) == "ignored"
    assert desk.table.puts == []


def test_a_refused_request_is_refused_again_when_it_is_replayed_behind_the_watermark() -> None:
    desk = ProcessorHarness()
    desk.hand(start())
    refused = desk.event(start("request-2", on_conflict="reject"))
    with pytest.raises(Rejected, match="is in progress"):
        desk.take(refused)
    desk.hand(start("request-3"))
    with pytest.raises(Rejected, match="is in progress"):
        desk.take(refused)


def test_a_refused_request_is_not_taken_for_a_new_one_when_it_is_replayed_after_the_end() -> None:
    desk = ProcessorHarness()
    desk.hand(start())
    refused = desk.event(start("request-2", on_conflict="reject"))
    with pytest.raises(Rejected):
        desk.take(refused)
    desk.hand(start("request-3"))
    desk.hand(told())
    run = desk.row.state
    with pytest.raises(Rejected, match="refused when it was first met"):
        desk.take(refused)
    assert desk.row.state == run


def test_a_new_record_counts_on_from_the_time_so_that_it_outranks_one_that_was_erased() -> None:
    desk = ProcessorHarness()
    desk.hand(start(), at=T0 + 5_000)
    assert desk.row.seq == T0 + 5_000


def test_what_is_handed_over_moves_no_offset() -> None:
    desk = ProcessorHarness()
    desk.hand(start())
    assert desk.hand_over(told()) == "decided"
    assert (desk.row.seq, desk.row.last_offset) == (T0 + 1, {"start-sync": 0})


def test_what_is_handed_over_twice_in_a_life_changes_nothing() -> None:
    desk = ProcessorHarness()
    desk.hand(start())
    desk.hand_over(told(run=T0 - 1))
    assert desk.hand_over(told(run=T0 - 1)) == "ignored"
    assert (desk.table.puts, desk.table.emitted) == ([], [])


def test_what_is_handed_over_again_is_answered_with_what_is_owed() -> None:
    """It hangs on an event that is replayed: whatever followed from it may have been lost in a crash."""
    desk = ProcessorHarness()
    desk.hand(start())
    asked = desk.table.emitted
    assert desk.hand_over(told(run=T0 - 1), redelivered=True) == "replayed"
    assert (desk.table.puts, desk.table.emitted) == ([KEY], asked)


def test_what_is_handed_over_to_a_record_of_another_life_is_answered_with_what_is_owed() -> None:
    desk = ProcessorHarness()
    desk.hand(start(), generation=1)
    asked = desk.table.emitted
    assert desk.hand_over(told(run=T0 - 1), generation=2) == "replayed"
    assert desk.table.emitted == asked


def test_what_is_owed_is_repeated_once_a_batch_however_often_it_is_handed_over_again() -> None:
    desk = ProcessorHarness()
    desk.hand(start())
    desk.table.repeated.add(KEY)
    assert desk.hand_over(told(run=T0 - 1), redelivered=True) == "ignored"
    assert (desk.table.puts, desk.table.emitted) == ([], [])


def test_an_answer_to_what_was_handed_over_leaves_no_record() -> None:
    desk = ProcessorHarness()
    desk.hand(start())
    assert desk.hand_over(told(run=T0 + 1)) == "decided"
    assert (desk.table.puts, len(desk.table.emitted)) == ([], 1)


def test_a_refusal_of_what_was_handed_over_leaves_no_record() -> None:
    desk = ProcessorHarness()
    desk.hand(start())
    with pytest.raises(Rejected):
        desk.hand_over(start("request-2", on_conflict="reject"))
    assert desk.table.puts == []
