"""The kinds of workflows that Sluice comes with: one declaration each. A new kind is added here."""

from dataclasses import asdict
from typing import Any

from agents.core.registry import Kind, Registry
from agents.deciders.entity.decider import EntityDecider
from agents.deciders.sync import SyncDecider
from tables.kinds.entity import TRANSITIONS, EntityState
from tables.kinds.sync import SYNC_TRANSITIONS, SyncState
from topics.kinds import entity, sync


def _sync_details(state: SyncState) -> dict[str, Any]:
    return {"adapter": state.adapter, "type": state.type, "request": state.request, **asdict(state.counts)}


def _entity_details(state: EntityState) -> dict[str, Any]:
    return {
        "adapter": state.adapter,
        "entity": state.entity,
        "type": state.type,
        "error": state.error_reason,
        "units": state.units,
        "total_units": state.total_units,
        "pages": state.pages,
        "records": state.records,
        "rejected": state.rejected,
    }


SYNC = Kind(
    key=sync.KEY,
    topics=sync.TOPICS,
    commands=sync.COMMANDS,
    state=SyncState,
    transitions=SYNC_TRANSITIONS,
    decider=SyncDecider,
    details=_sync_details,
)
ENTITY = Kind(
    key=entity.KEY,
    topics=entity.TOPICS,
    commands=entity.COMMANDS,
    state=EntityState,
    transitions=TRANSITIONS,
    decider=EntityDecider,
    details=_entity_details,
    has_ledger=True,
)
SHIPPED = Registry((SYNC, ENTITY))
