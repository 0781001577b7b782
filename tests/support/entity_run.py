"""Commands of one entity's run, as tests of its decider say them."""

from typing import Any

from agents.deciders.entity.decider import EntityDecider
from agents.deciders.entity.window import FIRST_UNITS
from tables.kinds.entity import EntityState
from tests.engine.clock import T0
from tests.engine.engine import KEY as SYNC
from tests.support.adapters import toy
from tests.support.scenario import Scenario
from topics.actions import ActionComplete, RunAction
from topics.command import CancelRun, Counts, RunOutcome, TimerDue
from topics.ids import run_id
from topics.kinds.entity import CLOSE_RUN, KEY, FetchPages, PageDone, StartEntity
from topics.kinds.sync import ChildDone

PET = KEY.key("acme", "toy", "a.pet", "full")  # pages by number: fan-out
LOG = KEY.key("acme", "toy", "a.log", "full")  # pages by link: a chain
CHILD = KEY.key("acme", "toy", "a.room", "full")  # read under parents: a chain, too
SECOND = 1_000
F = FIRST_UNITS  # the first lease is units 1 to F
COUNTS = {"pages": 3, "records": 11, "rejected": 1}  # of the closed run, as the database has them


def scenario() -> Scenario[EntityState]:
    return Scenario(EntityDecider({"toy": toy()}))


def started(key: str = PET) -> Scenario[EntityState]:
    return scenario().given(start(key))


def complete() -> Scenario[EntityState]:
    """Everything is fetched; a fetcher is to prove it, and to close the run."""
    return started().given(done(1, 1, end=True))


def closing() -> Scenario[EntityState]:
    """The run was cancelled, and is to be closed in the database."""
    return started().given(done(1, 1)).given(cancel())


def ended() -> Scenario[EntityState]:
    return started().given(done(1, 3, end=True, closed=Counts(**COUNTS)))


def start(key: str = PET, parent_run: int = 1) -> StartEntity:
    return StartEntity(workflow=key, parent=SYNC, parent_run=parent_run)


def fetch(lease: int, first: int, units: int = 1, key: str = PET, run: int = T0, **more: Any) -> FetchPages:
    entity = key.split(":")[3]
    return FetchPages(
        workflow=key, run=run, org="acme", adapter="toy", entity=entity, type="full",
        lease=lease, first=first, units=units, **more,
    )  # fmt: skip


def sole(lease: int, first: int, units: int = 1, **more: Any) -> FetchPages:
    """A lease beside which no other is out: it may close the run."""
    return fetch(lease, first, units, closes=True, **more)


def last(lease: int, units: int, **more: Any) -> FetchPages:
    """The lease that completes a run of so many units, and closes it."""
    return sole(lease, units + 1, closing=True, **more)


def done(lease: int, units: int, key: str = PET, run: int = T0, **more: Any) -> PageDone:
    result = {"pages": units, "records": 4 * units, "elapsed_ms": 1_000 * units, **more}
    return PageDone(workflow=key, run=run, lease=lease, units=units, **result)


def head(behind: int, unit_ms: int) -> PageDone:
    """The first lease is done; `behind` more units follow, and each took so many ms."""
    return done(1, F, total_units=F + behind, elapsed_ms=unit_ms * F)


def failed(lease: int, error: str, units: int = 0, reason: str = "503", **more: Any) -> PageDone:
    return done(lease, units, error=error, reason=reason, **more)


def close(outcome: RunOutcome = "cancelled", key: str = PET, run: int = T0, attempt: int = 1) -> RunAction:
    return RunAction(
        action=CLOSE_RUN, workflow=key, run=run, step=outcome, org="acme", adapter="toy", input={"outcome": outcome},
        attempt=attempt,
    )  # fmt: skip


def closed(outcome: RunOutcome = "cancelled", run: int = T0) -> ActionComplete:
    result = {"outcome": outcome, **COUNTS}
    return ActionComplete(workflow=PET, run=run, action=CLOSE_RUN, step=outcome, result=result)


def not_closed(error: str, attempt: int = 1, **more: Any) -> ActionComplete:
    fields = {"workflow": PET, "run": T0, "action": CLOSE_RUN, "step": "cancelled", "reason": "no such table", **more}
    return ActionComplete.model_validate({**fields, "error": error, "attempt": attempt})


def child_done(outcome: RunOutcome = "done", reason: str = "", **counts: int) -> ChildDone:
    return ChildDone(
        workflow=SYNC, parent_run=1, entity="a.pet", child_run_id=run_id(PET, T0), outcome=outcome, reason=reason,
        **(counts or COUNTS),
    )  # fmt: skip


def cancel(parent_run: int = 1) -> CancelRun:
    return CancelRun(workflow=PET, run=parent_run, reason="not today")


def due(at: int, key: str = PET) -> TimerDue:
    return TimerDue(workflow=key, due=at)
