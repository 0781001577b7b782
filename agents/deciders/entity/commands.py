"""Commands that follow from an entity's state. Each is computed from the state alone, so that it can be sent again."""

from tables.kinds.entity import EntityState, Lease
from topics.actions import RunAction
from topics.kinds.entity import CLOSE_RUN, FetchPages, StartEntity
from topics.kinds.sync import ChildDone, StaleRun


def fetch(state: EntityState, lease: Lease) -> FetchPages:
    is_sole = len(state.leases) == 1
    return FetchPages(
        workflow=state.key,
        run=state.run,
        org=state.org,
        adapter=state.adapter,
        entity=state.entity,
        type=state.type,
        lease=lease.number,
        first=lease.first,
        units=lease.units,
        cursor=lease.cursor,
        attempt=lease.attempt,
        closes=is_sole,
        closing=lease.closing,
        page_size=state.page_size,
        landmark=state.landmark,
        pages=state.pages if lease.closing else 0,
        unproven=state.unproven if is_sole else "",
        verify=state.verify,
    )


def close_run(state: EntityState) -> RunAction:
    return RunAction(
        action=CLOSE_RUN,
        workflow=state.key,
        run=state.run,
        step=state.outcome,
        org=state.org,
        adapter=state.adapter,
        input={"outcome": state.outcome},
        attempt=state.close_attempt,
    )


def child_done(state: EntityState) -> ChildDone:
    return ChildDone(
        workflow=state.parent,
        parent_run=state.parent_run,
        entity=state.entity,
        child_run_id=state.run_id,
        outcome=state.outcome,
        reason=state.reason,
        pages=state.pages,
        records=state.records,
        rejected=state.rejected,
    )


def stale_run(command: StartEntity, state: EntityState) -> StaleRun:
    return StaleRun(workflow=command.parent, parent_run=command.parent_run, newest=state.parent_run)


def unknown_entity(command: StartEntity, adapter: str, entity: str) -> ChildDone:
    return ChildDone(
        workflow=command.parent,
        parent_run=command.parent_run,
        entity=entity,
        child_run_id="",
        outcome="failed",
        reason=f"{adapter} has no entity {entity!r} here; deploy the same manifests to every worker",
    )
