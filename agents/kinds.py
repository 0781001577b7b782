"""The kinds of workflows that Sluice comes with: one declaration each. A new kind is added here."""

from agents.core.registry import Kind, Registry, RunStatus
from agents.deciders.entity.decider import EntityDecider
from agents.deciders.sync import SyncDecider
from tables.kinds.entity import TRANSITIONS, EntityState
from tables.kinds.sync import SYNC_TRANSITIONS, SyncState
from topics.ids import run_id
from topics.kinds import entity, sync


def _sync_status(state: SyncState) -> RunStatus:
    counts = state.counts
    return RunStatus(
        org=state.org,
        status=state.status,
        reason=state.reason,
        started_at=state.started_at,
        ended_at=state.ended_at,
        details={
            "adapter": state.adapter,
            "type": state.type,
            "request": state.request,
            "pages": counts.pages,
            "records": counts.records,
            "rejected": counts.rejected,
        },
    )


def _entity_status(state: EntityState) -> RunStatus:
    return RunStatus(
        org=state.org,
        status=state.status,
        reason=state.reason,
        started_at=state.started_at,
        ended_at=state.ended_at,
        parent_run_id=run_id(state.parent, state.parent_run),
        details={
            "adapter": state.adapter,
            "entity": state.entity,
            "type": state.type,
            "error": state.error_reason,
            "units": state.units,
            "total_units": state.total_units,
            "pages": state.pages,
            "records": state.records,
            "rejected": state.rejected,
        },
    )


SYNC = Kind(
    key=sync.KEY,
    topics=sync.TOPICS,
    commands=sync.COMMANDS,
    state=SyncState,
    transitions=SYNC_TRANSITIONS,
    decider=SyncDecider,
    status=_sync_status,
)
ENTITY = Kind(
    key=entity.KEY,
    topics=entity.TOPICS,
    commands=entity.COMMANDS,
    state=EntityState,
    transitions=TRANSITIONS,
    decider=EntityDecider,
    status=_entity_status,
)
SHIPPED = Registry((SYNC, ENTITY))
