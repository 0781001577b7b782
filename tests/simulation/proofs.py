"""Closed runs: what each says of its completeness and its pages, compared with the lives of the source's records."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from agents.ledger import Proof
from agents.ports import LedgerLine, RunEnd, RunRef
from tests.engine.outside import AuditedSink
from tests.simulation.source import PARENTS, MovingSource


@dataclass(frozen=True)
class Closed:
    """A run that was closed as done. `pages` are those of a list at the top level, `end` the first that says that
    nothing follows. `is_stable`: its links are."""

    proof: Proof
    pages: frozenset[int]
    end: int | None
    is_stable: bool


class Proofs:
    """`found` are the sentences on what was wrong, `closed` the runs that are done."""

    def __init__(self, source: MovingSource, sink: AuditedSink) -> None:
        self.found: list[str] = []
        self.closed: dict[str, Closed] = {}
        self._ended: dict[str, int] = {}
        self._source = source
        self._sink = sink

    def judge(self, end: RunEnd, lines: Sequence[LedgerLine]) -> None:
        """A run is closed, at this moment."""
        if end.outcome != "done":
            return
        self._ended[end.run.id] = self._source.step
        if end.proof is None:
            self.found.append(f"{end.run.id} is done, and says nothing of its completeness")
            return
        top = [line for line in lines if not line.parent]
        ends = (line.page for line in top if line.page > 0 and line.is_last)
        pages, is_stable = frozenset(line.page for line in top), self._source.is_stable(end.run.entity)
        self.closed[end.run.id] = Closed(end.proof, pages, min(ends, default=None), is_stable)
        self.found += [f"{end.run.id}: {what}" for what in self._wrong(end.run, end.proof, lines)]

    def _wrong(self, run: RunRef, proof: Proof, lines: Sequence[LedgerLine]) -> Iterator[str]:
        repairs = sum(line.page < 0 for line in lines)
        if (proof.pages, proof.repairs) != (len(lines), repairs):
            yield f"it has {len(lines)} pages, {repairs} of them repairs, and says {proof.pages} and {proof.repairs}"
        if run.entity not in PARENTS and not any(line.is_last for line in lines):
            yield "it is done, and none of its pages is the last one"
        missed = self._throughout(run) - self._seen(run)
        if proof.complete and missed:
            yield f"{len(missed)} records that existed throughout were not read, and it says: {proof.reason}"

    def _throughout(self, run: RunRef) -> set[str]:
        """Keys of records that were there when the run was opened, and are there now; below parents that were there
        when the parents' own run was opened."""
        since, births = self._sink.opened[run.id], self._source.births
        parents_since = self._parents_since(run, since)
        return {
            key
            for name in self._source.lists(run.entity)
            for key in self._source.data[name]
            if births[name, key] <= since and self._parent_birth(name) <= parents_since
        }

    def _parent_birth(self, name: str) -> int:
        entity, _, key = name.partition("/")
        return self._source.births[PARENTS[entity], key] if key else 0

    def _parents_since(self, run: RunRef, since: int) -> int:
        """When the last run was opened that had read the parents before this one began."""
        if run.entity not in PARENTS:
            return since
        runs = [
            one.ref
            for one in self._sink.runs.values()
            if (one.ref.org, one.ref.entity, one.state) == (run.org, PARENTS[run.entity], "done")
        ]
        known = [one.id for one in runs if self._ended.get(one.id, since) < since]
        return max((self._sink.opened[id] for id in known if id in self._sink.opened), default=-1)

    def _seen(self, run: RunRef) -> set[str]:
        return {key for one in self._sink.committed if one.run == run.id for _, _, key in one.rows}
