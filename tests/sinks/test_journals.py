"""Published state and its journal: one suite for SQLite and PostgreSQL."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from agents.kinds import ENTITY, SHIPPED, SYNC
from agents.ports import RunEnd, RunRef
from service.clock import SystemClock
from service.kafka.journal import Journal
from service.settings import Settings
from service.status import open_status
from service.status.progress import Progress, Step
from service.status.rows import StatusRows, status_rows
from service.status.store import StatusStore
from tables.changelog import tombstone_headers
from tables.row import Row
from tests.engine.broker import LogRecord
from tests.engine.clock import T0
from tests.sinks.conftest import KINDS, Database
from tests.sinks.test_status_store import KEY, entity, publish, row, sync, syncs
from tests.support.published import journal_record
from topics.catalog import CHANGELOG

pytestmark = pytest.mark.parametrize("url", KINDS[:2], indirect=True)

FIRST, SECOND = Journal("cluster-1", "topic-1"), Journal("cluster-2", "topic-2")
NOTHING = StatusRows((), ())
START = Progress(0, 0)


@pytest.fixture
async def store(url: str) -> AsyncIterator[StatusStore]:
    opened = open_status(Settings(sink=url), SystemClock())
    await opened.prepare()
    yield opened
    await opened.close()


def rows(*states: Row[Any]) -> StatusRows:
    return status_rows(SHIPPED, [journal_record(one) for one in states])


def tombstone(epoch: int, seq: int) -> StatusRows:
    headers = tombstone_headers(epoch, seq)
    return status_rows(SHIPPED, [LogRecord(CHANGELOG, 0, 0, 0, KEY.encode(), None, headers)])


async def test_a_journal_is_met_once_and_another_one_has_the_next_number(store: StatusStore) -> None:
    assert [(await store.meet(one)).number for one in (FIRST, FIRST, SECOND, SECOND, FIRST)] == [1, 1, 2, 2, 3]
    assert [(await store.meet(one)).former for one in (FIRST, SECOND)] == [None, FIRST]


async def test_runs_that_had_not_ended_have_failed_with_their_journal(store: StatusStore) -> None:
    await store.meet(FIRST)
    done = sync(T0 - 5, request="done", status="done", ended_at=T0)
    await publish(store, row(done, 1), row(sync(), 2), row(entity(), 3))
    assert {state.run_id for state in (await store.meet(SECOND)).lost} == {sync().run_id, entity().run_id}
    (failed, before), (child,) = await store.runs(SYNC.name), await store.runs(ENTITY.name)
    assert (failed.status, child.status, before) == ("failed", "failed", done)
    assert "start it again" in failed.reason
    assert abs(failed.ended_at - datetime.now(UTC).timestamp() * 1000) < 60_000
    assert (await store.meet(SECOND)).lost == ()


async def test_a_new_journals_runs_are_the_newest_though_its_epochs_begin_anew(store: StatusStore) -> None:
    await store.publish(rows(row(sync(T0), seq=5, epoch=900)), 1)
    await store.publish(rows(row(sync(T0 + 9, request="second"), seq=1, epoch=1)), 2)
    assert await syncs(store) == [T0 + 9]
    await store.publish(rows(row(sync(T0), seq=6, epoch=900)), 1)  # by a projector that still reads the former one
    assert await syncs(store) == [T0 + 9]


async def test_a_timeline_says_which_journal_an_entry_is_of(store: StatusStore) -> None:
    for journal, request in ((FIRST, "one"), (SECOND, "two")):
        number = (await store.meet(journal)).number
        await store.publish(rows(row(sync(request=request), seq=number)), number)
    assert {entry.request_id: entry.journal for entry in await store.timeline(KEY)} == {
        "one": "topic-1",
        "two": "topic-2",
    }


async def test_the_progress_is_stored_with_the_rows_and_a_step_from_elsewhere_stores_neither(
    store: StatusStore,
) -> None:
    assert await store.progress(1, [0, 1]) == {0: START, 1: START}
    steps = [Step(0, START, Progress(7, 3)), Step(1, START, Progress(4, 2))]
    assert await store.publish(rows(row(sync())), 1, steps) == []
    assert await store.progress(1, [0, 1]) == {0: Progress(7, 3), 1: Progress(4, 2)}
    again = [Step(0, Progress(7, 3), Progress(9, 3)), Step(1, START, Progress(5, 2))]
    assert await store.publish(rows(row(sync(T0 + 1))), 1, again) is None
    assert (await store.progress(1, [0]), await syncs(store)) == ({0: Progress(7, 3)}, [T0])
    assert await store.progress(2, [0]) == {0: START}


async def test_a_database_that_lost_its_progress_takes_no_step(store: StatusStore) -> None:
    assert await store.publish(NOTHING, 1, [Step(0, START, Progress(7, 3))]) is None


async def test_a_done_run_that_the_database_does_not_know_as_done_has_lost_rows(
    store: StatusStore, database: Database
) -> None:
    known, unknown, opened = (
        msgspec.structs.replace(entity(f"a.{name}"), status="done", ended_at=T0 + 5) for name in ("pet", "dog", "cat")
    )
    sink = database.open()
    refs = {one: RunRef(one.key, one.run, "acme", "toy", one.entity, "full") for one in (known, opened)}
    await sink.close_runs([RunEnd(refs[known], "done")])
    await database.query(
        f"insert into sluice_runs (run_id, workflow, number, org, adapter, entity, type, state, opened_at) values "
        f"('{opened.run_id}', '{opened.key}', {opened.run}, 'acme', 'toy', 'a.cat', 'full', 'open', '2026-01-01')"
    )
    published = rows(*(row(one, seq) for seq, one in enumerate((known, unknown, opened), 1)))
    missing = await store.publish(published, 1, (), published.done([ENTITY.name]))
    assert sorted(missing or ()) == sorted([unknown.run_id, opened.run_id])
    assert await store.missing() == {sync().run_id: [opened.run_id, unknown.run_id]}
    later = msgspec.structs.replace(unknown, run=T0 + 9, started_at=T0 + 9, parent_run=T0 + 8)
    await store.publish(rows(row(later, 9)), 1)
    assert await store.missing() == {sync().run_id: [opened.run_id]}


async def test_a_run_that_a_process_began_which_was_cut_off_is_not_listed_once_its_workflow_is_taken_out(
    store: StatusStore,
) -> None:
    ended = sync(T0 - 5, request="before", status="done", ended_at=T0)
    await publish(store, row(ended, 1), row(sync(), 2, epoch=4))
    await store.publish(tombstone(4, 1), 1)
    assert await syncs(store) == [T0, T0 - 5]
    await store.publish(tombstone(5, 0), 1)
    assert (await syncs(store), await syncs(store, sync().run_id)) == ([T0 - 5], [T0])
