"""Two processes at the same database, at the same moment. For every sink."""

import asyncio
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import pytest

from agents.ports import RejectedRecord, Sink
from service.clock import SystemClock
from service.sinks import open_sink
from service.sinks.migrations import shipped
from tests.sinks.builders import (
    CONTACT,
    adapter,
    close_run,
    commit,
    committed,
    open_lease,
    page,
    request,
    row,
    run,
    write,
)
from tests.sinks.conftest import Database
from topics.command import Counts

ROUNDS = 10


async def test_many_processes_prepare_an_empty_database_at_once(database: Database) -> None:
    sinks = [database.open() for _ in range(6)]
    await asyncio.gather(*(sink.prepare(adapter()) for sink in sinks))
    numbers = [(one.number,) for one in shipped("sqlite" if "sqlite" in database.url else "postgres")]
    assert await database.query("select number from sluice_migrations order by number") == numbers
    assert [await sink.count("book", CONTACT, "acme") for sink in sinks] == [0] * 6


async def test_many_processes_add_the_same_column_at_once(database: Database, sink: Sink) -> None:
    fields = {"name": {"type": "text", "from": "name"}, "age": {"type": "integer", "from": "age"}}
    wider = adapter(CONTACT.model_validate({"name": CONTACT.name, "path": CONTACT.path, "fields": fields}))
    await asyncio.gather(*(database.open().prepare(wider) for _ in range(6)))
    assert await database.query("select age from book_book_contact") == []


async def test_a_page_committed_twice_at_once_is_committed_once(sink: Sink, other: Sink) -> None:
    await open_lease(sink, run())
    for number in range(1, ROUNDS):
        twice = await asyncio.gather(
            commit(sink, page(run(), number, row("a"), row("b"))), commit(other, page(run(), number, row("a")))
        )
        first, second = sorted((outcomes[0] for outcomes in twice), key=lambda outcome: outcome.status, reverse=True)
        assert (first.status, second.status) == ("committed", "already")
        assert first.counts == second.counts


async def test_new_rows_stored_by_two_runs_at_once_end_with_the_newest(
    sink: Sink, other: Sink, database: Database
) -> None:
    full, delta = run(1), run(1, type_="delta")
    await sink.open_leases([request(full), request(delta)])
    for number in range(1, ROUNDS):
        older = [row(f"{number}-{key}", "older", 1) for key in range(50)]
        newer = [row(f"{number}-{key}", "newer", 2) for key in reversed(range(50))]
        ours, theirs = await asyncio.gather(
            commit(sink, page(full, number, *older)), commit(other, page(delta, number, *newer))
        )
        assert ours == theirs == [committed(50)]
    assert await database.query("select distinct name from book_book_contact") == [("newer",)]


@pytest.mark.parametrize("others", [[], [RejectedRecord("x", "bad", "{}")]], ids=["plain", "with-rejections"])
async def test_each_key_that_two_pages_read_with_other_content_is_reported_though_they_are_committed_at_once(
    sink: Sink, other: Sink, others: list[RejectedRecord]
) -> None:
    """Rows that an older run has stored, so that both only change them."""
    keys = [f"{key}" for key in range(50)]
    for number in range(1, ROUNDS):
        older, newer = run(2 * number), run(2 * number + 1)
        await write(sink, older, *(row(key, "before") for key in keys), rejected=others)
        await open_lease(sink, newer)
        ours, theirs = await asyncio.gather(
            commit(sink, page(newer, 1, *(row(key, "1") for key in keys))),
            commit(other, page(newer, 2, *(row(key, "2") for key in reversed(keys)))),
        )
        assert sorted([ours, theirs], key=str) == [[committed(0, 50)], [committed(50)]]


async def test_of_two_runs_opened_at_once_the_newer_stays_open(sink: Sink, other: Sink, database: Database) -> None:
    for number in range(1, ROUNDS):
        older, newer = run(2 * number), run(2 * number + 1)
        await asyncio.gather(open_lease(sink, older), open_lease(other, newer))
        assert (await open_lease(sink, newer)).is_open
        assert not (await open_lease(other, older)).is_open
    assert await database.query("select count(*) from sluice_runs where state = 'open'") == [(1,)]


async def test_many_runs_opened_at_once_in_different_orders_do_not_block_each_other(sink: Sink, other: Sink) -> None:
    for number in range(1, ROUNDS):
        requests = [request(run(number, org=f"org{org}")) for org in range(20)]
        forth, back = await asyncio.gather(sink.open_leases(requests), other.open_leases(requests[::-1]))
        assert all(each.is_open for each in (*forth, *back))


async def test_what_was_committed_before_the_close_is_in_its_counts_and_the_rest_is_fenced(
    sink: Sink, other: Sink
) -> None:
    for number in range(1, ROUNDS):
        of = run(number)
        await open_lease(sink, of)
        pages = [commit(sink, page(of, position, row(f"{number}-{position}"))) for position in range(1, 6)]
        closing = asyncio.create_task(close_run(other, of, "done"))
        outcomes = await asyncio.gather(*pages)
        counts = await closing
        committed = [outcome for (outcome,) in outcomes if outcome.status == "committed"]
        assert counts == Counts(len(committed), len(committed), 0)
        assert await close_run(sink, of, "done") == counts


async def test_superseding_a_run_waits_for_its_commit_or_fences_it(sink: Sink, other: Sink) -> None:
    for number in range(1, ROUNDS):
        await open_lease(sink, run(number))
        (outcome,), lease = await asyncio.gather(
            commit(sink, page(run(number), 1, row("a"))), open_lease(other, run(number + 1))
        )
        assert lease.is_open
        counts = await close_run(other, run(number), "cancelled")
        assert counts.pages == (outcome.status == "committed")


def _write_in_a_process_of_its_own(url: str, org: str) -> list[str]:
    async def write_pages() -> list[str]:
        sink = open_sink(url, SystemClock())
        await sink.prepare(adapter())
        await open_lease(sink, run(org=org))
        outcomes: list[str] = []
        for number in range(ROUNDS):
            outcomes += [each.status for each in await commit(sink, page(run(org=org), number, row(str(number))))]
        await sink.close()
        return outcomes

    return asyncio.run(write_pages())


def test_several_processes_write_the_same_database(url: str) -> None:
    orgs = ("a", "b", "c")
    with ProcessPoolExecutor(len(orgs), mp_context=multiprocessing.get_context("spawn")) as processes:
        outcomes = list(processes.map(_write_in_a_process_of_its_own, [url] * len(orgs), orgs))
    assert outcomes == [["committed"] * ROUNDS] * len(orgs)
