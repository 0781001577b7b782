"""Runs: opened, fenced, closed, folded. For every sink."""

from agents.ports import ClosedRun, LeaseState, LedgerLine, PageOutcome, RunEnd, RunTotals, Sink
from tests.sinks.builders import ask, commit, finish, grant, page, row, run, write
from tests.sinks.conftest import Place


async def test_a_new_run_is_opened(sink: Sink) -> None:
    assert (await grant(sink, run())).is_open


async def test_an_open_run_stays_open_however_often_it_is_asked_for(sink: Sink) -> None:
    assert [(await grant(sink, run())).is_open for _ in range(3)] == [True] * 3


async def test_a_newer_run_supersedes_the_older_one(sink: Sink, place: Place) -> None:
    await grant(sink, run(1))
    assert (await grant(sink, run(2))).is_open
    assert not (await grant(sink, run(1))).is_open
    assert await place.query("select number, state from sluice_runs order by number") == [
        (1, "superseded"),
        (2, "open"),
    ]


async def test_an_older_run_than_the_newest_known_is_not_opened(sink: Sink) -> None:
    await grant(sink, run(2))
    assert not (await grant(sink, run(1))).is_open


async def test_an_older_run_than_a_closed_one_is_not_opened(sink: Sink) -> None:
    await finish(sink, run(2), "done")
    assert not (await grant(sink, run(1))).is_open


async def test_a_closed_run_is_not_opened_again(sink: Sink) -> None:
    await grant(sink, run())
    await finish(sink, run(), "done")
    assert not (await grant(sink, run())).is_open


async def test_runs_of_other_workflows_do_not_supersede_each_other(sink: Sink) -> None:
    await grant(sink, run(1))
    await grant(sink, run(2, type_="delta"))
    await grant(sink, run(3, org="other"))
    assert (await grant(sink, run(1))).is_open


async def test_many_asks_are_answered_in_their_order(sink: Sink) -> None:
    await finish(sink, run(1, org="closed"), "done")
    asks = [ask(run(1, org=org)) for org in ("b", "closed", "a", "b")]
    assert [each.is_open for each in await sink.grant(asks)] == [True, False, True, True]


async def test_more_asks_than_fit_a_statement_are_all_answered(sink: Sink) -> None:
    asks = [ask(run(1, org=f"org{number}")) for number in range(300)]
    assert [each.is_open for each in await sink.grant(asks)] == [True] * 300


async def test_of_two_runs_of_a_workflow_asked_for_together_the_newer_is_open(sink: Sink) -> None:
    assert [each.is_open for each in await sink.grant([ask(run(1)), ask(run(2)), ask(run(1))])] == [False, True, False]


async def test_who_may_not_write_is_told_the_newest_run_of_the_workflow(sink: Sink) -> None:
    await sink.grant([ask(run(7)), ask(run(9)), ask(run(30, org="other"))])
    assert (await grant(sink, run(8))).newest == 9
    assert (await grant(sink, run(9))).newest is None


async def test_no_asks_are_no_grants(sink: Sink) -> None:
    assert list(await sink.grant([])) == []


async def test_a_grant_reads_the_lines_of_the_pages_asked_for(sink: Sink) -> None:
    await grant(sink, run())
    await commit(sink, *(page(run(), number, row(str(number)), next_cursor=f"c{number}") for number in (1, 2, 3, 4)))
    lines = (await grant(sink, run(), first=2, units=2)).lines
    assert lines == (LedgerLine("", 2, 1, 0, False, "c2"), LedgerLine("", 3, 1, 0, False, "c3"))


async def test_a_grant_reads_all_lines_of_the_parents_asked_for(sink: Sink) -> None:
    await grant(sink, run())
    places = [("p1", 1), ("p1", 2), ("p2", 1), ("p3", 1), ("", 1)]
    await commit(sink, *(page(run(), number, parent=parent, is_last=number == 2) for parent, number in places))
    lines = (await grant(sink, run(), parents=("p3", "p1"))).lines
    assert [(line.parent, line.page, line.is_last) for line in lines] == [
        ("p1", 1, False),
        ("p1", 2, True),
        ("p3", 1, False),
    ]


async def test_a_run_that_is_closed_shows_no_lines(sink: Sink) -> None:
    await write(sink, run(1), row("a"))
    await grant(sink, run(2))
    assert (await grant(sink, run(1))).lines == ()


async def test_finishing_sums_up_the_ledger_and_folds_it_away(sink: Sink, place: Place) -> None:
    await grant(sink, run())
    await commit(sink, page(run(), 1, row("a"), row("b")), page(run(), 2, row("c")))
    assert await finish(sink, run(), "done") == RunTotals(pages=2, records=3, rejected=0)
    assert await place.query("select count(*) from sluice_pages") == [(0,)]
    assert await place.query("select state, pages, records from sluice_runs") == [("done", 2, 3)]


async def test_finishing_again_tells_the_same_totals_and_keeps_the_first_outcome(sink: Sink, place: Place) -> None:
    await write(sink, run(), row("a"))
    first = await finish(sink, run(), "failed")
    assert await finish(sink, run(), "done") == first == RunTotals(1, 1, 0)
    assert await place.query("select state from sluice_runs") == [("failed",)]


async def test_a_superseded_run_keeps_its_state_and_is_summed_up(sink: Sink, place: Place) -> None:
    await write(sink, run(1), row("a"))
    await grant(sink, run(2))
    assert await finish(sink, run(1), "cancelled") == RunTotals(1, 1, 0)
    assert await place.query("select state from sluice_runs where number = 1") == [("superseded",)]


async def test_finishing_folds_its_own_run_only(sink: Sink) -> None:
    await write(sink, run(1), row("a"))
    await write(sink, run(1, org="other"), row("a"))
    await finish(sink, run(1), "done")
    assert len((await grant(sink, run(1, org="other"))).lines) == 1


async def test_a_run_that_was_never_opened_is_closed_for_good(sink: Sink, place: Place) -> None:
    assert await finish(sink, run(), "cancelled") == RunTotals(0, 0, 0)
    assert not (await grant(sink, run())).is_open
    assert await place.query("select state from sluice_runs") == [("cancelled",)]


async def test_closing_an_old_run_that_was_never_opened_leaves_the_newer_one_open(sink: Sink) -> None:
    await grant(sink, run(2))
    await finish(sink, run(1), "cancelled")
    assert (await grant(sink, run(2))).is_open


async def test_closing_a_run_that_was_never_opened_supersedes_older_ones(sink: Sink) -> None:
    await grant(sink, run(1))
    await finish(sink, run(2), "cancelled")
    assert await commit(sink, page(run(1), 1, row("a"))) == [PageOutcome("fenced")]


async def test_runs_are_closed_together_each_with_its_own_sums_and_outcome(sink: Sink) -> None:
    """Known and unknown, one that is closed already, and one that two ask for."""
    await write(sink, run(1, org="first"), row("a"), row("b"))
    await write(sink, run(1, org="closed"), row("a"))
    await finish(sink, run(1, org="closed"), "cancelled")
    asked = [
        RunEnd(run(1, org="first"), "done"),
        RunEnd(run(1, org="unknown"), "failed"),
        RunEnd(run(1, org="closed"), "done"),
        RunEnd(run(1, org="first"), "done"),
    ]
    first = ClosedRun("done", RunTotals(1, 2, 0))
    unknown, closed = ClosedRun("failed", RunTotals(0, 0, 0)), ClosedRun("cancelled", RunTotals(1, 1, 0))
    assert await sink.finish(asked) == [first, unknown, closed, first]


async def test_a_complete_run_tells_its_sums_and_one_that_was_closed_otherwise_does_not(sink: Sink) -> None:
    await write(sink, run(1, org="done"), row("a"))
    await finish(sink, run(1, org="done"), "done")
    await finish(sink, run(1, org="cancelled"), "cancelled")
    assert await grant(sink, run(1, org="done")) == LeaseState(False, done=RunTotals(1, 1, 0), newest=1)
    assert await grant(sink, run(1, org="cancelled")) == LeaseState(False, newest=1)


async def test_a_ledger_of_100000_lines_is_folded(sink: Sink, place: Place) -> None:
    await write(sink, run(), row("a"))
    timestamp = "timestamptz " if "postgres" in place.url else ""
    await place.query(
        f"""
        insert into sluice_pages
        with recursive line (n) as (select 2 union all select n + 1 from line where n < 100000)
        select '{run().id}', '', n, 2, 1, false, null, {timestamp}'2026-01-05T12:00:00Z'
        from line
        """
    )
    assert await finish(sink, run(), "done") == RunTotals(100_000, 199_999, 99_999)
