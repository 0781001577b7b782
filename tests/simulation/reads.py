"""What must hold of full reads: complete or not proven, counted right, ended where the API has no end."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from agents.core.processor import read_command
from tables.kinds.entity import EntityState
from tables.kinds.sync import SyncState
from tests.counter.kind import WITH_COUNTER
from tests.simulation.journal import newest_by_run
from tests.simulation.source import PARENTS
from tests.simulation.world import World
from topics.command import Counts
from topics.errors import Rejected
from topics.ids import run_id
from topics.kinds.entity import PageDone

MISLED_PAGES_MAX = 60  # that a run reads of an API without an end, with all its retries
COMPARABLE_RECORDS = 2  # on a page at least: a sole one shows nothing of what is beside it
EVIDENCE = ("contradicts itself", "leads back to one before", "and name a next page each time")
SEEN_AGAIN = "do not come behind those of the page before"


def a_proven_run_is_complete(world: World) -> Iterator[str]:
    yield from world.proofs.found


def no_reported_page_is_missing_from_a_run_that_is_done(world: World) -> Iterator[str]:
    """Up to the one that says that nothing follows: the source may have become shorter meanwhile.

    Chains of stable links are read on under new numbers; their proofs are judged by what they have read.
    """
    for record in world.broker.topic(PageDone.topic):
        try:
            done = read_command(record, WITH_COUNTER)
        except Rejected:
            continue
        assert isinstance(done, PageDone)
        closed = world.proofs.closed.get(run_id(done.workflow, done.run))
        if closed is not None and not closed.is_stable and closed.end is not None and done.first is not None:
            reported = range(done.first, min(done.first + done.units, closed.end + 1))
            if missing := [page for page in reported if page not in closed.pages]:
                yield f"{done.workflow}@{done.run}: pages {missing} were reported, and it was closed without them"


def what_a_state_counts_is_what_the_database_committed(world: World) -> Iterator[str]:
    """Unless the database has forgotten that it was closed."""
    committed: dict[str, Counts] = defaultdict(Counts)
    for one in world.sink.committed:
        committed[one.run] += one.counts
    for row in world.records():
        state = row.state
        if not isinstance(state, EntityState) or state.run_id in world.sink.lost:
            continue
        if state.counts != committed[state.run_id]:
            yield f"{state.run_id} counts {state.counts}, the database took {committed[state.run_id]}"


def no_run_fails(world: World) -> Iterator[str]:
    """Nothing is wrong with the source or the database that would not pass, but an API without an end. A cancelled
    entity fails its run."""
    states = [state for state in _states(world).values() if state.status == "failed"]
    excused = {(one.parent, one.parent_run) for one in states if _may_fail(world, one)}
    for state in states:
        is_excused = _may_fail(world, state) or (state.key, state.run) in excused
        is_cancelled = isinstance(state, SyncState) and "cancelled" in {one.status for one in state.children.values()}
        if not is_excused and not is_cancelled:
            yield f"{state.run_id} failed: {state.reason}"


def _states(world: World) -> dict[str, Any]:
    """The newest of each run."""
    return {run: row.state for run, row in newest_by_run(world).items()}


def _may_fail(world: World, state: Any) -> bool:
    """A list in no order may have moved by a page, so that it shows one again."""
    if not isinstance(state, EntityState):
        return False
    return state.entity in world.source.endless or (
        SEEN_AGAIN in state.reason and not world.source.is_ordered(state.entity)
    )


def an_api_without_an_end_fails_its_entity_with_the_evidence(world: World) -> Iterator[str]:
    """Unless its first page is another one each time that it is shown."""
    if world.source.is_fast:
        return
    states = _states(world)
    for run, pages in world.source.misled.items():
        state = states.get(run)
        if pages > MISLED_PAGES_MAX:
            yield f"{run} has read {pages} pages of a list that has no end"
        if state is None or state.status not in ("done", "failed"):
            continue
        if state.status == "done" or not any(one in state.reason for one in EVIDENCE):
            yield f"{run} has read a list that has no end, and is {state.status}: {state.reason}"


def the_last_runs_are_done_and_equal_the_source(world: World) -> Iterator[str]:
    """The last runs began after the source had come to rest."""
    syncs = {row.state.key: row.state for row in world.records() if isinstance(row.state, SyncState)}
    for key in world.clients.keys:
        if key not in syncs or syncs[key].status != "done":
            yield f"{key} is {syncs[key].status if key in syncs else 'not there'}"
    for state in syncs.values():
        for name, child in state.children.items():
            yield from (f"{state.run_id} {name}: {what}" for what in _differences(world, state, name))
            if child.status == "done":
                yield from (f"{child.run_id}: {what}" for what in _unproven(world, name, child.run_id))
    for run in world.sink.runs.values():
        if run.state == "open":
            yield f"{run.ref.id} is open in the database for ever"


def _differences(world: World, state: SyncState, name: str) -> Iterator[str]:
    expected = world.source.expected(world.adapters[state.adapter].entities[name])
    stored = {key: row for (org, key), row in world.sink.rows.get(name, {}).items() if org == state.org}
    child = state.children[name]
    if missing := expected.keys() - stored.keys():
        yield f"{len(missing)} of {len(expected)} records have no row"
    elif stale := [key for key, row in expected.items() if row.content_hash != stored[key].content_hash]:
        yield f"{len(stale)} of {len(expected)} rows are not what the source has"
    if child.status != "done" or child.records != len(expected):
        yield f"{child.status} with {child.records} records of {len(expected)}"


def _unproven(world: World, name: str, run: str) -> Iterator[str]:
    """What could be proven of a source that does not move, and is not; or cost a repair."""
    names = [name, *([PARENTS[name]] if name in PARENTS else [])]
    are_comparable = all(world.source.manners[one].records_max >= COMPARABLE_RECORDS for one in names)
    proof = world.proofs.closed[run].proof
    if all(map(world.source.is_ordered, names)) and are_comparable and not proof.complete:
        yield f"it is not proven, although nothing moved: {proof.reason}"
    if proof.repairs and are_comparable:
        yield f"{proof.repairs} pages were repaired, although nothing moved"


PROMISES = (
    a_proven_run_is_complete,
    no_reported_page_is_missing_from_a_run_that_is_done,
    what_a_state_counts_is_what_the_database_committed,
    no_run_fails,
    an_api_without_an_end_fails_its_entity_with_the_evidence,
)
