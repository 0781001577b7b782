"""Reconciliations in any SQL database: rows that a run has not seen, how that was confirmed, and their deletes."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from agents.deletes import Candidate, Check, Missing, Sweep
from agents.ledger import Comparison
from agents.ports import RunRef
from manifests.entity import Adapter, Entity, path_columns
from service.sinks.schema import entity_table
from service.sinks.sink import SqlSink, Statement, parent_of

CHECKS_PER_CALL_MAX = 1_000


class Names(NamedTuple):
    """What the statements about an entity's rows name, and how the columns of the parent's row are read."""

    table: str
    above: str
    parent: str
    below: str


class ReconcilingSink(SqlSink):
    async def find_missing(self, sweep: Sweep, sample: int, limit: int) -> Missing:
        run, names = sweep.run, self._names(sweep.adapter, sweep.entity)
        own = {"table": names.table}
        shown = {**own, "parent": names.parent, "above": names.above}
        *_, sums, unchecked, witness = await self.transact(
            [
                (self.sql["forget_seen"], (run.id,)),
                (self.sql["find_missing"].format(**own, below=names.below), (run.id,)),
                (self.sql["missing_sums"].format(**own), (run.id, run.org)),
                (self.sql["unchecked"].format(**shown), (run.id, run.org, sample, min(limit, CHECKS_PER_CALL_MAX))),
                (self.sql["witness"].format(**shown), (run.id, run.org)),
            ]
        )
        rows, found, checked, existing, has_unkeyed = sums[0]
        candidates = tuple(self._candidate(sweep, row) for row in unchecked)
        seen = [self._candidate(sweep, row) for row in witness]
        return Missing(rows, found, checked, existing, bool(has_unkeyed), candidates, seen[0] if seen else None)

    async def note_checks(self, run: RunRef, checks: Sequence[Check]) -> None:
        noted = [(run.id, check.key, self.moment(check.at), check.is_gone) for check in checks]
        await self.transact([(self.sql["note_check"], arguments) for arguments in noted])

    async def sweep(self, sweep: Sweep) -> Comparison | None:
        run, now = sweep.run, self.moment(self.clock.now())
        state = "reported" if run.verify else "held" if sweep.hold else "deleted"
        conditions = [(self.sql["lock_run"], (run.id,)), (self.sql["ledger_of"], (run.id, sweep.pages))]
        place = (run.id, run.org, run.adapter, run.entity)
        statements = [
            (self.sql["outdate_held"], (*place, now)),
            (self.sql["decide"], (run.id, state, now)),
            *([] if run.verify or sweep.hold else self.deletions(sweep.adapter, sweep.entity, run.id, run.org)),
            *self._sums(run),
        ]
        results = await self.transact(statements, conditions)
        return comparison(results[-2], results[-1], sweep.hold, run.verify) if results else None

    async def compare(self, run: RunRef, reason: str) -> Comparison:
        seen, decided = await self.transact(self._sums(run))
        return comparison(seen, decided, reason, run.verify)

    def deletions(self, adapter: Adapter, entity: Entity, run: str, org: str) -> list[Statement]:
        """The statements that delete what was decided to be deleted by a run, and what stands below."""
        table = entity_table(adapter.name, entity).name
        found: list[Statement] = [(self.sql["delete_rows"].format(table=table), (run,))]
        for above, below in _cascades(adapter, entity):
            tables = {"table": entity_table(adapter.name, above).name, "below": entity_table(adapter.name, below).name}
            assert below.under is not None
            found.append((self.sql["delete_below"].format(**tables, column=below.under.column), (run, org)))
        return found

    def _sums(self, run: RunRef) -> list[Statement]:
        return [(self.sql["seen_sums"], (run.id,)), (self.sql["decided_sums"], (run.id,))]

    def _names(self, adapter: Adapter, entity: Entity) -> Names:
        table = entity_table(adapter.name, entity).name
        if entity.under is None:
            return Names(table, "", "", "")
        parent = adapter.entities[entity.under.entity]
        named = {"above": entity_table(adapter.name, parent).name, "column": entity.under.column}
        listed = ", ".join(f'above."{name}"' for name in ("id", *path_columns(entity)))
        cascade = self.sql["below_deleted"].format(**named) if entity.under.on_delete == "cascade" else ""
        below = self.sql["below"].format(column=entity.under.column, cascade=cascade)
        return Names(table, self.sql["above"].format(**named), f", {listed}", below)

    def _candidate(self, sweep: Sweep, row: Sequence[Any]) -> Candidate:
        key, raw, *above = row
        if sweep.entity.under is None:
            return Candidate(key, raw)
        parent = sweep.adapter.entities[sweep.entity.under.entity]
        types = entity_table(sweep.adapter.name, parent).types_of(path_columns(sweep.entity))
        return Candidate(key, raw, parent_of(above[0], types, above[1:]))


def _cascades(adapter: Adapter, entity: Entity) -> Iterator[tuple[Entity, Entity]]:
    """Each entity whose rows follow, with the one above it, from the top down. Manifests have no cycle."""
    for below in adapter.entities.values():
        if below.under is not None and below.under.entity == entity.name and below.under.on_delete == "cascade":
            yield entity, below
            yield from _cascades(adapter, below)


def comparison(
    seen: Sequence[tuple[Any, ...]], decided: Sequence[tuple[Any, ...]], reason: str, verified: bool
) -> Comparison:
    read: Mapping[str, int] = dict(seen)
    states: Mapping[str, int] = dict(decided)
    return Comparison(
        seen=sum(read.values()),
        new=read.get("new", 0),
        changed=read.get("changed", 0) + read.get("invisible", 0),
        invisible=read.get("invisible", 0),
        missing=sum(states.values()) - states.get("kept", 0),
        deleted=states.get("deleted", 0),
        kept=states.get("kept", 0),
        held=states.get("held", 0),
        reason=reason,
        verified=verified,
    )
