import pytest
from pydantic import ValidationError

from topics.commands import (
    COUNT_MAX,
    REASON_CHARS_MAX,
    ActionComplete,
    CancelRun,
    ChildDone,
    Command,
    FetchPages,
    FinishRun,
    PageDone,
    StartEntity,
    StartSync,
    TimerDue,
)

START = {"org": "acme", "adapter": "pco", "type": "full"}
LEASE = FetchPages(workflow="w", run=7, lease=3, first=5, units=4, entity="people.email", **START)
DONE = PageDone(workflow="w", run=7, lease=3, units=4, pages=4, records=400)
FINISH = FinishRun(workflow="w", run=7, org="acme", adapter="pco", outcome="done")
COMPLETE = ActionComplete(
    workflow="w", run=7, action="finish-run", outcome="done", pages=1, records=1, rejected=0
)  # fmt: skip


@pytest.mark.parametrize(
    ("command", "key"),
    [
        (StartSync(**START), "main-sync:acme:pco:full"),
        (StartEntity(workflow="w", parent="p", parent_run=1), "w"),
        (DONE, "w"),
        (COMPLETE, "w"),
        (LEASE, "acme/pco"),
        (FINISH, "acme/pco"),
    ],
)
def test_a_command_is_keyed_by_whom_it_meets(command: Command, key: str) -> None:
    assert command.key == key


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (StartSync(**START, request_id="a"), StartSync(**START, request_id="b")),
        (StartEntity(workflow="w", parent="p", parent_run=1), StartEntity(workflow="w", parent="p", parent_run=2)),
        (CancelRun(workflow="w", run=1, reason="x"), TimerDue(workflow="w", due=1)),
        (LEASE, LEASE.model_copy(update={"attempt": 2})),
        (LEASE, LEASE.model_copy(update={"run": 8})),
        (LEASE, DONE),
        (FINISH, FINISH.model_copy(update={"outcome": "failed"})),
        (FINISH, COMPLETE),
    ],
)
def test_what_asks_for_something_else_has_another_id(one: Command, other: Command) -> None:
    assert one.id != other.id


def test_what_says_the_same_in_other_words_has_the_same_id() -> None:
    assert DONE.id == DONE.model_copy(update={"units": 0, "error": "retryable"}).id
    assert CancelRun(workflow="w", run=1, reason="x").id == CancelRun(workflow="w", run=1, reason="y").id


def test_a_start_with_a_field_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(ValidationError, match="on_conflct"):
        StartSync.model_validate({**START, "on_conflct": "queue"})


def test_a_field_of_a_newer_version_is_passed_over_between_machines() -> None:
    assert TimerDue.model_validate({"workflow": "w", "due": 5, "colour": "red"}) == TimerDue(workflow="w", due=5)


@pytest.mark.parametrize("name", ["", "-a", ".a", "a b", "a/b", "a:b", "a\n", "ø", "x" * 65])
def test_a_name_that_could_break_a_key_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="org"):
        StartSync.model_validate({**START, "org": name})


@pytest.mark.parametrize("request_id", ["", "x" * 201, "a\0b"])
def test_a_request_that_no_database_could_keep_is_refused(request_id: str) -> None:
    with pytest.raises(ValidationError, match="request_id"):
        StartSync.model_validate({**START, "request_id": request_id})


@pytest.mark.parametrize("run", [0, -1, COUNT_MAX + 1, 10**30])
def test_a_number_that_no_database_could_keep_is_refused(run: int) -> None:
    with pytest.raises(ValidationError, match="run"):
        CancelRun(workflow="w", run=run, reason="x")


def test_a_key_with_a_nul_is_refused() -> None:
    with pytest.raises(ValidationError, match="workflow"):
        TimerDue(workflow="a\0b", due=1)


def test_a_reason_is_made_fit_to_be_kept() -> None:
    told = ChildDone(
        workflow="w", parent_run=1, entity="e", child_run_id="", outcome="failed", reason="a\0b" + "x" * 5_000
    )
    assert told.reason.startswith("a\ufffdb")
    assert len(told.reason) == REASON_CHARS_MAX
