"""Published state: one suite for SQLite and PostgreSQL."""

from collections.abc import AsyncIterator
from itertools import permutations
from pathlib import Path

import msgspec
import pytest

from service.clock import SystemClock
from service.status.postgres import PostgresStatus
from service.status.rows import status_rows
from service.status.sqlite import SqliteStatus
from service.status.store import StatusStore
from tables.catalog import State
from tables.kinds.entity import EntityState
from tables.kinds.sync import Child, SyncState
from tables.row import Row
from tests.support.scenario import T0
from topics.ids import sync_key

KEY = sync_key("acme", "toy", "full")


@pytest.fixture
async def store(url: str) -> AsyncIterator[StatusStore]:
    opened = opened_at(url)
    await opened.prepare()
    yield opened
    await opened.close()


def opened_at(url: str) -> StatusStore:
    if url.startswith("postgres"):
        return PostgresStatus(url, SystemClock(), "PostgreSQL")
    return SqliteStatus(Path(url.removeprefix("sqlite:///")), SystemClock())


def sync(run: int = T0, request: str = "request-1", reason: str = "", org: str = "acme") -> SyncState:
    children = {"a.pet": Child("done", pages=3, records=11), "a.dog": Child("running")}
    return SyncState(
        org=org, adapter="toy", type="full", run=run, request=request, started_at=run, reason=reason, children=children
    )


def entity(name: str = "a.pet", parent_run: int = T0, reason: str = "") -> EntityState:
    return EntityState(
        org="acme", adapter="toy", entity=name, type="full", mode="chain", parent=KEY, parent_run=parent_run,
        run=T0 + 1, started_at=T0, reason=reason, total_units=None,
    )  # fmt: skip


def row(state: State, seq: int = 1, generation: int = 1) -> Row[State]:
    return Row[State](generation=generation, seq=seq, state=state).with_event(
        T0 + 10 * generation + seq, f"id-{seq}", f"n{seq}"
    )


async def publish(store: StatusStore, *rows: Row[State]) -> None:
    await store.publish(status_rows(rows))


async def test_a_state_reads_as_it_was_published(store: StatusStore) -> None:
    await publish(store, row(sync(), 4), row(entity(), 7))
    assert [(one.state, one.seq) for one in await store.syncs()] == [(sync(), 4)]
    assert [(one.state, one.seq) for one in await store.entities(sync().run_id)] == [(entity(), 7)]


async def test_nothing_published_is_nothing_found(store: StatusStore) -> None:
    await publish(store)
    assert (await store.syncs(), await store.entities("none"), await store.timeline(KEY)) == ([], [], [])


@pytest.mark.parametrize("order", list(permutations([(1, 8), (1, 9), (2, 3)])))
async def test_a_row_gives_way_only_to_a_newer_one(store: StatusStore, order: list[tuple[int, int]]) -> None:
    for generation, seq in order:
        name = f"{generation}/{seq}"
        await publish(store, row(sync(reason=name), seq, generation), row(entity(reason=name), seq, generation))
    assert [one.state.reason for one in await store.syncs()] == ["2/3"]
    assert [one.state.reason for one in await store.entities(sync().run_id)] == ["2/3"]


@pytest.mark.parametrize("order", list(permutations([(1, 8), (1, 9), (2, 3)])))
async def test_the_order_within_one_batch_does_not_matter_either(
    store: StatusStore, order: list[tuple[int, int]]
) -> None:
    await publish(store, row(sync(reason="before"), 7))
    await publish(store, *(row(sync(reason=f"{generation}/{seq}"), seq, generation) for generation, seq in order))
    assert [one.state.reason for one in await store.syncs()] == ["2/3"]


async def test_a_record_that_is_published_again_changes_nothing(store: StatusStore) -> None:
    for _ in range(2):
        await publish(store, row(sync()))
    assert len(await store.syncs()) == len(await store.timeline(KEY)) == 1


async def test_runs_are_found_by_run_by_workflow_and_by_request(store: StatusStore) -> None:
    older = msgspec.structs.replace(sync(), status="done", ended_at=T0 + 1)
    newer, other = sync(T0 + 5, "request-2"), sync(T0 + 9, "request-3", org="else")
    await publish(store, row(older), row(newer, 2), row(other, 3))
    found = {name: [one.state for one in await store.syncs(name)] for name in ("", KEY, older.run_id, "request-2", "x")}
    assert found == {
        "": [other, newer, older],
        KEY: [newer, older],
        older.run_id: [older],
        "request-2": [newer],
        "x": [],
    }


async def test_the_entities_of_a_run_are_its_own_in_the_order_of_their_names(store: StatusStore) -> None:
    await publish(store, row(entity("a.pet")), row(entity("a.dog")), row(entity("a.cat", parent_run=T0 + 5)))
    assert [one.state.entity for one in await store.entities(sync().run_id)] == ["a.dog", "a.pet"]


async def test_the_timeline_tells_the_newest_first(store: StatusStore) -> None:
    told = row(sync()).with_event(T0 + 60_000, "id-2", "later")
    await publish(store, msgspec.structs.replace(told, seq=2))
    await publish(store, row(sync()))
    assert [(entry.cause, entry.note) for entry in await store.timeline(KEY)] == [("id-2", "later"), ("id-1", "n1")]


async def test_an_empty_store_that_is_prepared_twice_keeps_what_it_has(store: StatusStore, url: str) -> None:
    await publish(store, row(sync()))
    second = opened_at(url)
    await second.prepare()
    assert [one.state for one in await second.syncs()] == [sync()]
    await second.close()


async def test_a_run_that_a_newer_one_replaced_is_not_listed_any_more(store: StatusStore) -> None:
    await publish(store, row(sync(T0), seq=1), row(sync(T0 + 5, request="request-2"), seq=2))
    assert [one.state.run for one in await store.syncs()] == [T0 + 5]
    assert [one.state.run for one in await store.syncs(KEY)] == [T0 + 5]
    assert [one.state.run for one in await store.syncs(sync(T0).run_id)] == [T0]


async def test_a_run_that_had_ended_stays_listed_beside_a_newer_one(store: StatusStore) -> None:
    ended = msgspec.structs.replace(sync(T0), status="done", ended_at=T0 + 1)
    await publish(store, row(ended, seq=1))
    await publish(store, row(sync(T0 + 5, request="request-2"), seq=2))
    assert [one.state.run for one in await store.syncs()] == [T0 + 5, T0]


async def test_a_run_of_a_frozen_process_gives_way_to_the_journals(store: StatusStore) -> None:
    """It was told last and has the higher number, but its guard is lower."""
    mine, phantom = entity(), msgspec.structs.replace(entity(), run=T0 + 9)
    await publish(store, row(mine, seq=7, generation=2))
    await publish(store, row(phantom, seq=8, generation=1))
    assert [one.state.run for one in await store.entities(f"{KEY}@{T0}")] == [mine.run]


async def test_a_run_that_turns_out_to_be_the_newest_after_all_is_listed(store: StatusStore) -> None:
    await publish(store, row(sync(T0), seq=1), row(sync(T0 + 5, request="request-2"), seq=2))
    await publish(store, row(sync(T0), seq=3))
    assert [one.state.run for one in await store.syncs()] == [T0]
