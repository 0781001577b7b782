"""The registry of workflow kinds: one declaration per kind, and what follows from all of them.

Nothing else in the engine knows a kind by name.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, Union

import msgspec

from agents.core.decision import Decider
from manifests.entity import Adapter
from tables.row import Row, decode_row
from topics.catalog import WORKFLOW_RETENTION_MS, Catalog, TopicSpec
from topics.codec import Decoder
from topics.command import Command
from topics.errors import Broken, Rejected
from topics.ids import KeyPattern, kind_of

S = TypeVar("S")


class WorkflowState(Protocol):
    """Properties that every state has, whatever its kind. Times are Unix ms on the broker's clock, 0 for none.

    `run` grows from run to run; `trace` is the id of the run that started this one, or its own. `due` is the deadline
    that the state sets itself: an ended one needs none, its record leaves the table after the kind's retention.
    """

    @property
    def key(self) -> str: ...
    @property
    def org(self) -> str: ...
    @property
    def run(self) -> int: ...
    @property
    def run_id(self) -> str: ...
    @property
    def trace(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def reason(self) -> str: ...
    @property
    def started_at(self) -> int: ...
    @property
    def has_ended(self) -> bool: ...
    @property
    def ended_at(self) -> int: ...
    @property
    def due(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Kind(Generic[S]):
    """One kind of workflow. `transitions` are its legal changes of status; the first status is where a run begins, and
    `failed` is one of those where it ends.

    `has_ledger`: its runs are opened and closed in the database, which so knows which of them are done. `details` are
    what the status tables show of a run beside what all kinds have, by name (JSON values).
    """

    key: KeyPattern
    topics: Sequence[TopicSpec]
    commands: Sequence[type[Command]]
    state: type[S]
    transitions: Mapping[Any, Sequence[Any]]
    decider: Callable[[Mapping[str, Adapter]], Decider[S]]
    details: Callable[[S], Mapping[str, Any]]
    retention_ms: int = WORKFLOW_RETENTION_MS
    has_ledger: bool = False

    @property
    def name(self) -> str:
        return self.key.kind

    def check_transition(self, before: WorkflowState | None, after: WorkflowState | None) -> None:
        """Broken if a run changes its status in a way that `transitions` do not have."""
        if after is None or after is before:
            return
        if before is not None and before.run == after.run:
            legal = after.status == before.status or after.status in self.transitions[before.status]
            came = f"from {before.status}"
        else:
            first = next(iter(self.transitions))
            legal = after.status in (first, *self.transitions[first])
            came = "as its first status"
        if not legal:
            raise Broken(f"{after.run_id} goes to {after.status} {came}: {self.name} has no such transition")


class Registry:
    """The kinds of an installation; every process has the same ones."""

    def __init__(self, kinds: Iterable[Kind[Any]]) -> None:
        self.kinds: Mapping[str, Kind[Any]] = {kind.name: kind for kind in kinds}
        every = tuple(self.kinds.values())
        self.catalog = Catalog(
            [spec for kind in every for spec in kind.topics], [model for kind in every for model in kind.commands]
        )
        self.decode = Decoder(self.catalog).decode
        states: Any = Union[tuple(kind.state for kind in every)]  # noqa: UP007  # made at run time
        self._rows: msgspec.json.Decoder[Row[Any]] = msgspec.json.Decoder(Row[states])
        self._states: msgspec.json.Decoder[Any] = msgspec.json.Decoder(states)

    def kind(self, key: str) -> Kind[Any]:
        """The kind of a workflow; Rejected if there is none of this name."""
        found = self.kinds.get(kind_of(key))
        if found is None:
            raise Rejected(f"workflow {key!r} is of no known kind; there are: {', '.join(sorted(self.kinds))}")
        return found

    def read_row(self, value: bytes) -> Row[Any]:
        """A workflow's record as it stands in the store or in the changelog; Broken if it is none."""
        return decode_row(value, self._rows)

    def read_state(self, state: str | bytes) -> Any:
        """A state as the status tables hold it, as JSON."""
        return self._states.decode(state)
