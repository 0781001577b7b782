"""Actions: any effect behind `run-action`, by the name of its activity, with its result or its error."""

import logging
from collections.abc import Awaitable, Callable, Mapping

import msgspec

from agents.activities.database import Database
from agents.ports import RunEnd, RunRef
from topics.actions import ACTION_BYTES_MAX, ActionComplete, ActionError, Payload, RunAction
from topics.errors import Broken, Rejected, Retryable
from topics.kinds.entity import KEY, CloseRun, RunClosed

log = logging.getLogger("sluice.activities")

Activity = Callable[[RunAction], Awaitable[Payload]]
"""Safe to repeat. Retryable and Rejected are reported to the workflow; Broken ends the process."""


class Cancelled(Exception):
    """The activity was cancelled at its other side; the text says by whom or why."""


async def run_action(activities: Mapping[str, Activity], command: RunAction) -> ActionComplete:
    """Run the activity that the command names, and report its result or why there is none."""
    activity = activities.get(command.action)
    if activity is None:
        known = ", ".join(sorted(activities))
        return failed_action(command, "rejected", f"there is no activity {command.action!r} here; there are: {known}")
    try:
        _check_size(command.input, "input")
        result = await activity(command)
        _check_size(result, "result")
        return _complete(command, result=result)
    except Retryable as error:
        return failed_action(command, "retryable", str(error), error.after_seconds)
    except Rejected as error:
        return failed_action(command, "rejected", str(error))
    except Cancelled as error:
        return failed_action(command, "cancelled", str(error))
    except Broken:
        raise
    except Exception as error:  # a bug in one activity fails its workflow, with the reason, and nothing else
        log.exception("action failed unexpectedly", extra={"sluice.workflow": command.workflow})
        return failed_action(command, "rejected", f"unexpected {type(error).__name__}: {error}")


def _check_size(payload: Payload, what: str) -> None:
    size = len(msgspec.json.encode(payload))
    if size > ACTION_BYTES_MAX:
        raise Rejected(f"the {what} of the action has {size:,} bytes, at most {ACTION_BYTES_MAX:,} are allowed")


def failed_action(
    command: RunAction, error: ActionError, reason: str, after_seconds: float | None = None
) -> ActionComplete:
    """What is reported of an attempt without a result."""
    return _complete(command, error=error, reason=reason, after_seconds=after_seconds)


def _complete(command: RunAction, **outcome: object) -> ActionComplete:
    known = {name: getattr(command, name) for name in ("workflow", "run", "action", "step", "attempt")}
    return ActionComplete.model_validate({**known, **outcome})


def close_run_activity(database: Database) -> Activity:
    """Closing a run in the database: after it nothing can be written under it, and what was written is added up."""

    async def close_run(command: RunAction) -> Payload:
        names = KEY.parse(command.workflow)
        run = RunRef(command.workflow, command.run, command.org, command.adapter, names["entity"], names["type"])
        closed = await database.close_run(RunEnd(run, CloseRun.of(command).outcome))
        counts = closed.counts
        return RunClosed(
            outcome=closed.outcome, pages=counts.pages, records=counts.records, rejected=counts.rejected
        ).model_dump()

    return close_run
