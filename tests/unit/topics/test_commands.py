from typing import Any

import pytest
from pydantic import ValidationError

from topics.actions import ActionComplete, RunAction
from topics.command import COUNT_MAX, CancelRun, Command, Counts, RetryNow, TimerDue
from topics.errors import REASON_CHARS_MAX, Rejected
from topics.kinds.entity import CLOSE_RUN, CloseRun, FetchPages, PageDone, RunClosed, StartEntity
from topics.kinds.sync import ChildDone, StartSync

START = {"org": "acme", "adapter": "pco", "type": "full"}
LEASE = FetchPages(workflow="w", run=7, lease=3, first=5, units=4, entity="people.email", **START)
DONE = PageDone(workflow="w", run=7, lease=3, units=4, pages=4, records=400)
ACTION = RunAction(action=CLOSE_RUN, workflow="w", run=7, step="done", org="acme", adapter="pco")
COMPLETE = ActionComplete(workflow="w", run=7, action=CLOSE_RUN, step="done")


@pytest.mark.parametrize(
    ("command", "key"),
    [
        (StartSync(**START), "main-sync:acme:pco:full"),
        (StartEntity(workflow="w", parent="p", parent_run=1), "w"),
        (DONE, "w"),
        (COMPLETE, "w"),
        (LEASE, "acme/pco"),
        (ACTION, "acme/pco"),
    ],
)
def test_a_command_is_keyed_by_whom_it_is_for(command: Command, key: str) -> None:
    assert command.key == key


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (StartSync(**START, request_id="a"), StartSync(**START, request_id="b")),
        (RetryNow(workflow="w", request_id="a"), RetryNow(workflow="w", request_id="b")),
        (StartEntity(workflow="w", parent="p", parent_run=1), StartEntity(workflow="w", parent="p", parent_run=2)),
        (CancelRun(workflow="w", run=1, reason="x"), TimerDue(workflow="w", due=1)),
        (LEASE, LEASE.model_copy(update={"attempt": 2})),
        (LEASE, LEASE.model_copy(update={"run": 8})),
        (LEASE, DONE),
        (ACTION, ACTION.model_copy(update={"step": "failed"})),
        (ACTION, ACTION.model_copy(update={"attempt": 2})),
        (ACTION, COMPLETE),
    ],
)
def test_commands_that_mean_different_things_have_different_ids(one: Command, other: Command) -> None:
    assert one.id != other.id


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (DONE, DONE.model_copy(update={"units": 0, "error": "retryable"})),
        (COMPLETE, COMPLETE.model_copy(update={"error": "rejected"})),
        (CancelRun(workflow="w", run=1, reason="x"), CancelRun(workflow="w", run=1, reason="y")),
    ],
)
def test_the_same_thing_in_other_words_has_the_same_id(one: Command, other: Command) -> None:
    assert one.id == other.id


def test_a_field_of_a_newer_version_is_ignored_between_machines() -> None:
    assert TimerDue.model_validate({"workflow": "w", "due": 5, "colour": "red"}) == TimerDue(workflow="w", due=5)


@pytest.mark.parametrize(
    ("model", "field", "value"),
    [
        (StartSync, "on_conflct", "queue"),  # a person's misspelling, not a newer version
        *((StartSync, "org", name) for name in ("", "-a", ".a", "a b", "a/b", "a:b", "a\n", "ø", "x" * 65)),
        *((StartSync, "request_id", request) for request in ("", "x" * 201, "a\0b")),
        *((RetryNow, "request_id", request) for request in ("", "x" * 201, "a\0b")),
        *((CancelRun, "run", number) for number in (0, -1, COUNT_MAX + 1, 10**30)),
        (TimerDue, "workflow", "a\0b"),
    ],
)
def test_a_field_that_does_not_exist_or_that_no_key_or_database_could_hold_is_an_error(
    model: type[Command], field: str, value: object
) -> None:
    fields = START if model is StartSync else {"workflow": "w", "run": 1, "reason": "x", "due": 1, "request_id": "r"}
    model.model_validate(fields)
    with pytest.raises(ValidationError, match=field):
        model.model_validate({**fields, field: value})


def test_a_reason_is_made_fit_to_be_stored() -> None:
    done = ChildDone(
        workflow="w", parent_run=1, entity="e", child_run_id="", outcome="failed", reason="a\0b" + "x" * 5_000
    )
    assert done.reason.startswith("a\ufffdb")
    assert len(done.reason) == REASON_CHARS_MAX


def test_the_close_of_a_run_says_as_what_and_its_result_what_the_database_counted() -> None:
    result = {"outcome": "done", "pages": 4, "records": 9, "rejected": 1}
    assert CloseRun.of(ACTION.model_copy(update={"input": {"outcome": "failed"}})).outcome == "failed"
    assert RunClosed.of(COMPLETE.model_copy(update={"result": result})).counts == Counts(4, 9, 1)


@pytest.mark.parametrize("payload", [{}, {"outcome": "blown"}, {"outcome": "done", "pages": -1, "colour": "red"}])
def test_an_action_whose_payload_is_none_of_a_close_is_rejected(payload: dict[str, Any]) -> None:
    with pytest.raises(Rejected, match="finish-run takes an outcome: done, failed or cancelled"):
        CloseRun.of(ACTION.model_copy(update={"input": payload}))
    with pytest.raises(Rejected, match="the result of finish-run says neither outcome nor counts"):
        RunClosed.of(COMPLETE.model_copy(update={"result": payload}))
