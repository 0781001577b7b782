"""What becomes of an action: every error is reported to its workflow, and only Broken ends the process."""

from typing import Any

import pytest

from agents.activities.actions import Cancelled
from agents.activities.runner import ActivityRunner
from agents.ports import FetchRequest
from tests.support.leases import RUN, LeaseBench
from topics.actions import ACTION_BYTES_MAX, ActionComplete, Payload, RunAction
from topics.command import CancelRun, Counts
from topics.errors import Broken, Rejected, Retryable
from topics.kinds.entity import CLOSE_RUN, FetchPages, PageDone, RunClosed

WORKFLOW = "entity-sync:acme:toy:a.pet:full"
TOO_LONG: Payload = {"text": "x" * ACTION_BYTES_MAX}
LONGEST: Payload = {"text": "x" * (ACTION_BYTES_MAX - len('{"text":""}'))}
LEASE = FetchPages(
    workflow=WORKFLOW, run=RUN, org="acme", adapter="toy", entity="a.pet", type="full", lease=1, first=1, units=1
)


def run_action(action: str = "send", **more: object) -> RunAction:
    names = {"workflow": WORKFLOW, "run": RUN, "action": action, "step": "one", "org": "acme", "adapter": "toy"}
    return RunAction.model_validate({**names, **more})


def complete(**outcome: object) -> ActionComplete:
    names = {"workflow": WORKFLOW, "run": RUN, "action": "send", "step": "one", **outcome}
    return ActionComplete.model_validate(names)


def runner(result: Payload | Exception, bench: LeaseBench | None = None) -> ActivityRunner:
    """With an activity of this outcome."""
    bench = bench or LeaseBench()

    async def send(command: RunAction) -> Payload:
        if isinstance(result, Exception):
            raise result
        return result

    return ActivityRunner(bench.reader, bench.database, {"send": send})


@pytest.mark.parametrize("result", [None, ["sent"], {"at": RUN, 1: 2}, {"names": {"a"}}])
async def test_a_result_that_is_no_json_object_is_the_actions_error(result: Any) -> None:
    done = await runner(result).run(run_action())
    assert isinstance(done, ActionComplete)
    assert (done.error, done.reason.partition(":")[0]) == ("rejected", "unexpected ValidationError")


async def test_the_result_is_reported_for_the_attempt_it_belongs_to() -> None:
    done = await runner({"sent": True}).run(run_action(attempt=3, input=LONGEST))
    assert done == complete(attempt=3, result={"sent": True})


@pytest.mark.parametrize(
    ("error", "reported"),
    [
        (Retryable("busy", 7.5), complete(error="retryable", reason="busy", after_seconds=7.5)),
        (Retryable("busy"), complete(error="retryable", reason="busy")),
        (Rejected("no such person"), complete(error="rejected", reason="no such person")),
        (Cancelled("by Ann"), complete(error="cancelled", reason="by Ann")),
        (ValueError("odd"), complete(error="rejected", reason="unexpected ValueError: odd")),
    ],
    ids=["retryable_with_a_delay", "retryable", "rejected", "cancelled", "unexpected"],
)
async def test_an_error_is_reported(error: Exception, reported: ActionComplete) -> None:
    assert await runner(error).run(run_action()) == reported


async def test_an_activity_that_is_not_known_here_is_rejected() -> None:
    done = await runner({}).run(run_action("dance"))
    reason = f"there is no activity 'dance' here; there are: {CLOSE_RUN}, send"
    assert done == complete(action="dance", error="rejected", reason=reason)


@pytest.mark.parametrize("what", ["input", "result"])
async def test_an_input_or_a_result_that_is_too_long_is_rejected(what: str) -> None:
    sent, result = (TOO_LONG, {}) if what == "input" else ({}, TOO_LONG)
    reason = f"the {what} of the action has 32,011 bytes, at most 32,000 are allowed"
    assert await runner(result).run(run_action(input=sent)) == complete(error="rejected", reason=reason)


async def test_a_broken_invariant_in_an_action_ends_the_process() -> None:
    with pytest.raises(Broken, match="impossible"):
        await runner(Broken("impossible")).run(run_action())


async def test_closing_a_run_reports_the_outcome_of_the_first_close_and_the_counts() -> None:
    bench = LeaseBench()
    await bench.read("a.pet", 2)
    for outcome in ("cancelled", "done"):
        done = await runner({}, bench).run(run_action(CLOSE_RUN, step=outcome, input={"outcome": outcome}))
        assert isinstance(done, ActionComplete)
        closed = RunClosed.of(done)
        assert (done.step, closed.outcome, closed.counts) == (outcome, "cancelled", Counts(2, 8))
    assert bench.run_states == ["cancelled"]


@pytest.mark.parametrize("wrong", [{}, {"outcome": "lost"}, {"outcome": "done", "more": 1}])
async def test_closing_a_run_takes_an_outcome_and_nothing_else(wrong: Payload) -> None:
    done = await runner({}).run(run_action(CLOSE_RUN, input=wrong))
    assert isinstance(done, ActionComplete)
    assert (done.error, done.reason) == ("rejected", "finish-run takes an outcome: done, failed or cancelled")


async def test_an_unexpected_error_of_a_lease_is_reported_and_a_broken_invariant_ends_the_process() -> None:
    def fail(request: FetchRequest) -> None:
        raise ZeroDivisionError("by zero")

    bench = LeaseBench()
    bench.source.on_fetch = fail
    done = await runner({}, bench).run(LEASE)
    assert isinstance(done, PageDone)
    assert (done.error, done.reason) == ("rejected", "unexpected ZeroDivisionError: by zero")
    bench.source.trouble = lambda request: Broken("impossible")
    with pytest.raises(Broken, match="impossible"):
        await runner({}, bench).run(LEASE)


async def test_a_command_that_is_none_of_a_fetcher_is_rejected() -> None:
    with pytest.raises(Rejected, match="a fetcher takes no CancelRun"):
        await runner({}).run(CancelRun(workflow=WORKFLOW, run=RUN, reason="enough"))
