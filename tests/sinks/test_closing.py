"""A run that its last page closes: both in one transaction. For every sink."""

import asyncio

from agents.ports import PageOutcome, RunTotals, Sink
from tests.sinks.builders import ask, commit, finish, grant, page, row, run
from tests.sinks.conftest import Place

ROUNDS = 6
STATES = "select number, state, pages, records, rejected from sluice_runs order by run_id"


async def test_the_last_page_closes_its_run_and_tells_its_sums(sink: Sink, place: Place) -> None:
    await grant(sink, run())
    await commit(sink, page(run(), 1, row("a"), row("b")))
    told = await commit(sink, page(run(), 2, row("c")), page(run(), 3, row("d"), is_last=True, closes=True))
    assert told == [PageOutcome("committed", 1), PageOutcome("committed", 1, is_last=True, closed=RunTotals(3, 4, 0))]
    assert await place.query(STATES) == [(1, "done", 3, 4, 0)]
    assert await place.query("select count(*) from sluice_pages") == [(0,)]
    assert (await grant(sink, run())).done == RunTotals(3, 4, 0)


async def test_of_runs_that_share_a_transaction_each_is_closed_by_its_own_page_only(sink: Sink, place: Place) -> None:
    orgs = [run(org=org) for org in "abc"]
    await sink.grant([ask(of) for of in orgs])
    pages = [page(of, 1, row("x"), row(of.org), is_last=True, closes=of.org != "b") for of in orgs]
    told = await commit(sink, *pages)
    assert [one.closed for one in told] == [RunTotals(1, 2, 0), None, RunTotals(1, 2, 0)]
    assert [state for _, state, *_ in await place.query(STATES)] == ["done", "open", "done"]


async def test_a_last_page_that_the_ledger_holds_closes_its_run(sink: Sink) -> None:
    await grant(sink, run())
    await commit(sink, page(run(), 1, row("a"), is_last=True))
    (told,) = await commit(sink, page(run(), 1, row("a"), is_last=True, closes=True))
    assert told == PageOutcome("already", 1, is_last=True, closed=RunTotals(1, 1, 0))


async def test_a_page_that_somebody_else_has_found_to_be_followed_closes_nothing(sink: Sink) -> None:
    await grant(sink, run())
    await commit(sink, page(run(), 1, row("a"), next_cursor="page-2"))
    (told,) = await commit(sink, page(run(), 1, row("a"), is_last=True, closes=True))
    assert told == PageOutcome("already", 1, next_cursor="page-2")
    assert (await grant(sink, run())).is_open


async def test_a_fenced_page_closes_nothing(sink: Sink, place: Place) -> None:
    await finish(sink, run(), "cancelled")
    assert await commit(sink, page(run(), 1, row("a"), is_last=True, closes=True)) == [PageOutcome("fenced")]
    assert await place.query(STATES) == [(1, "cancelled", 0, 0, 0)]


async def test_a_run_is_closed_though_the_database_refused_a_record_of_its_last_page(sink: Sink, place: Place) -> None:
    await place.query("create unique index names on book_book_contact (org, name)")
    await grant(sink, run())
    (told,) = await commit(sink, page(run(), 1, row("a", "Ann"), row("b", "Ann"), is_last=True, closes=True))
    assert told == PageOutcome("committed", 1, 1, is_last=True, closed=RunTotals(1, 1, 1))
    assert await place.query(STATES) == [(1, "done", 1, 1, 1)]


async def test_two_processes_that_close_the_same_runs_at_once_wait_for_each_other(sink: Sink, other: Sink) -> None:
    for number in range(1, ROUNDS):
        runs = [run(number, org=f"org{n}") for n in range(20)]
        await sink.grant([ask(of) for of in runs])
        pages = [page(of, 1, row("a"), is_last=True, closes=True) for of in runs]
        ours, theirs = await asyncio.gather(commit(sink, *pages), commit(other, *pages[::-1]))
        for one, another in zip(ours, reversed(theirs), strict=True):
            assert sorted([one.status, another.status]) == ["committed", "fenced"]
            assert (one.closed or another.closed) == RunTotals(1, 1, 0)
