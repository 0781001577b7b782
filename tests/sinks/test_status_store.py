"""Published state: one suite for SQLite and PostgreSQL."""

from collections.abc import AsyncIterator
from itertools import permutations
from typing import Any

import msgspec
import pytest

from agents.kinds import ENTITY, SHIPPED, SYNC
from service.clock import SystemClock
from service.settings import Settings
from service.sinks.migrations import shipped
from service.sinks.postgres import tables as postgres_tables
from service.sinks.sqlite import tables as sqlite_tables
from service.status import open_status
from service.status.rows import status_rows
from service.status.store import StatusStore
from tables.kinds.entity import EntityState
from tables.kinds.sync import Child, SyncState
from tables.row import HistoryEntry, Row
from tests.engine.clock import T0
from tests.sinks.conftest import KINDS, Database
from tests.support.published import journal_record
from topics.kinds import sync as sync_commands

pytestmark = pytest.mark.parametrize("url", KINDS[:2], indirect=True)

KEY = sync_commands.KEY.key("acme", "toy", "full")
JOURNAL = 1
GUARDS = [(1, 8), (1, 9), (2, 3)]  # epoch and seq; the last one is the newest


@pytest.fixture
async def store(url: str) -> AsyncIterator[StatusStore]:
    opened = open_status(Settings(sink=url), SystemClock())
    await opened.prepare()
    yield opened
    await opened.close()


def sync(run: int = T0, request: str = "request-1", **more: Any) -> SyncState:
    children = {"a.pet": Child("done", pages=3, records=11), "a.dog": Child("running")}
    plain = {"org": "acme", "adapter": "toy", "type": "full", "children": children}
    return SyncState(**{**plain, "run": run, "request": request, "started_at": run, **more})


def entity(name: str = "a.pet", parent_run: int = T0, reason: str = "") -> EntityState:
    return EntityState(
        org="acme", adapter="toy", entity=name, type="full", mode="chain", parent=KEY, parent_run=parent_run,
        run=T0 + 1, started_at=T0, reason=reason, total_units=None,
    )  # fmt: skip


def row(state: SyncState | EntityState, seq: int = 1, epoch: int = 1) -> Row[Any]:
    """A record whose newest event is the acceptance of the run's request, if it is a main sync's."""
    entry = HistoryEntry(seq, T0 + 10 * epoch + seq, f"id-{seq}", f"n{seq}")
    if isinstance(state, SyncState):
        entry = msgspec.structs.replace(entry, request_id=state.request, run=state.run)
    return Row[Any](epoch=epoch, seq=seq, state=state).with_event(entry)


async def publish(store: StatusStore, *rows: Row[Any]) -> None:
    """Of one journal, of which nothing else is known."""
    await store.publish(status_rows(SHIPPED, [journal_record(one) for one in rows]), JOURNAL)


async def syncs(store: StatusStore, name: str = "") -> list[int]:
    return [state.run for state in await store.runs(SYNC.name, name)]


async def test_a_state_reads_as_it_was_published(store: StatusStore) -> None:
    await publish(store, row(sync(), 4), row(entity(), 7))
    assert await store.runs(SYNC.name) == [sync()]
    assert await store.runs(ENTITY.name) == await store.children(sync().run_id) == [entity()]


async def test_nothing_published_is_nothing_found(store: StatusStore) -> None:
    await publish(store)
    assert (await store.runs(SYNC.name), await store.children("none"), await store.timeline(KEY)) == ([], [], [])


@pytest.mark.parametrize("order", list(permutations(GUARDS)))
async def test_a_row_gives_way_only_to_a_newer_one(store: StatusStore, order: list[tuple[int, int]]) -> None:
    await publish(store, row(sync(reason="before"), 7))
    for epoch, seq in order:
        states = [made(reason=f"{epoch}/{seq}") for made in (sync, entity)]
        await publish(store, *(row(state, seq, epoch) for state in states))
    assert [state.reason for kind in (SYNC, ENTITY) for state in await store.runs(kind.name)] == ["2/3", "2/3"]


async def test_a_record_that_is_published_again_by_another_process_changes_nothing(
    store: StatusStore, url: str
) -> None:
    await publish(store, row(sync()))
    second = open_status(Settings(sink=url), SystemClock())
    await second.prepare()
    await publish(second, row(sync()))
    await second.close()
    assert len(await store.runs(SYNC.name)) == len(await store.timeline(KEY)) == 1


async def test_runs_are_found_by_run_by_workflow_and_by_request(store: StatusStore) -> None:
    older = sync(status="done", ended_at=T0 + 1)
    await publish(store, row(older), row(sync(T0 + 5, "second"), 2), row(sync(T0 + 9, "third", org="else"), 3))
    assert await syncs(store) == [T0 + 9, T0 + 5, T0]
    assert await syncs(store, KEY) == [T0 + 5, T0]
    assert [await syncs(store, name) for name in (older.run_id, "second", "x")] == [[T0], [T0 + 5], []]


async def test_a_run_is_found_by_every_request_that_was_attached_to_it(store: StatusStore) -> None:
    attached = HistoryEntry(2, T0 + 20, "id-2", "attached", request_id="second", run=T0)
    await publish(store, row(sync()).with_event(attached))
    assert await syncs(store, "request-1") == await syncs(store, "second") == [T0]


async def test_the_children_of_a_run_are_its_own_in_the_order_of_their_names(store: StatusStore) -> None:
    await publish(store, row(entity("a.pet")), row(entity("a.dog")), row(entity("a.cat", parent_run=T0 + 5)))
    assert [child.entity for child in await store.children(sync().run_id)] == ["a.dog", "a.pet"]


async def test_the_timeline_is_the_newest_first_with_the_request_and_the_run_that_it_led_to(store: StatusStore) -> None:
    published = row(sync())
    later = HistoryEntry(2, T0 + 60_000, "id-2", "later")
    await publish(store, msgspec.structs.replace(published, seq=2).with_event(later))
    await publish(store, published)
    second, first = await store.timeline(KEY)
    assert (second.cause, second.event, second.request_id, second.run_id) == ("id-2", "later", "", "")
    assert (first.cause, first.event, first.request_id, first.run_id) == ("id-1", "n1", "request-1", sync().run_id)


async def test_a_run_that_a_newer_one_replaced_is_listed_only_by_its_own_name(store: StatusStore) -> None:
    await publish(store, row(sync(T0), seq=1), row(sync(T0 + 5, request="second"), seq=2))
    assert await syncs(store) == await syncs(store, KEY) == [T0 + 5]
    assert (await syncs(store, sync(T0).run_id), await syncs(store, "request-1")) == ([T0], [])
    await publish(store, row(sync(T0), seq=3))  # it turns out to be the newest after all
    assert await syncs(store) == [T0]


async def test_a_run_of_a_frozen_process_gives_way_to_the_journals(store: StatusStore) -> None:
    """It was published last and has the higher number, but its guard is lower."""
    mine, frozen = entity(), msgspec.structs.replace(entity(), run=T0 + 9)
    await publish(store, row(mine, seq=7, epoch=2))
    await publish(store, row(frozen, seq=8, epoch=1))
    assert [child.run for child in await store.children(sync().run_id)] == [mine.run]


async def test_what_an_older_version_published_is_still_found(
    url: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as older:
        for module in (postgres_tables, sqlite_tables):
            older.setattr(module, "shipped", lambda engine: shipped(engine)[: {"postgres": 5, "sqlite": 3}[engine]])
        before = open_status(Settings(sink=url), SystemClock())
        await before.prepare()
        await before.close()
    at, states = "2023-11-14T22:13:20Z", [msgspec.json.encode(state).decode() for state in (sync(), entity())]
    await database.query(
        f"""insert into sluice_sync_runs values ('{sync().run_id}', '{KEY}', 'acme', 'toy', 'full', 'request-1',
        'running', '', '{at}', null, 3, 11, 0, 1, 4, '{states[0]}', null)"""
    )
    await database.query(
        f"""insert into sluice_entity_runs values ('{entity().run_id}', '{entity().key}', '{sync().run_id}', 'acme',
        'toy', 'a.pet', 'full', 'fetching', '', '', '{at}', null, 0, null, 0, 0, 0, 1, 4, '{states[1]}', null)"""
    )
    await database.query(f"insert into sluice_timeline values ('{KEY}', '{at}', 4, 'id-4', 'started')")
    store = open_status(Settings(sink=url), SystemClock())
    await store.prepare()
    assert await store.runs(SYNC.name, "request-1") == [sync()]
    assert await store.children(sync().run_id) == [entity()]
    assert [(entry.event, entry.request_id) for entry in await store.timeline(KEY)] == [("started", "request-1")]
    assert await database.query("select request, pages, seq from sluice_sync_runs") == [("request-1", 3, 4)]
    assert await database.query("select entity, units, seq from sluice_entity_runs") == [("a.pet", 0, 4)]
    await store.close()
