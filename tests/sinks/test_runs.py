"""Runs: opened, fenced, closed, folded. For every sink."""

import msgspec
import pytest

from agents.ledger import Extent, LedgerSums, Proof
from agents.ports import ClosedRun, LeaseState, LedgerLine, ParentsRequest, RunEnd, Sink
from tests.sinks.builders import (
    CONTACT,
    FENCED,
    TYPED,
    already,
    close_run,
    commit,
    open_lease,
    page,
    request,
    row,
    run,
    write,
)
from tests.sinks.conftest import Database
from topics.command import NO_COUNTS, Counts

ONE_ROW = Counts(1, 1)


async def test_a_newer_run_supersedes_the_older_one(sink: Sink, database: Database) -> None:
    await open_lease(sink, run(1))
    assert (await open_lease(sink, run(2))).is_open
    assert not (await open_lease(sink, run(1))).is_open
    stored = await database.query("select number, state from sluice_runs order by number")
    assert stored == [(1, "superseded"), (2, "open")]


async def test_an_older_run_than_the_newest_known_is_not_opened_be_that_one_open_or_closed(sink: Sink) -> None:
    await open_lease(sink, run(2))
    await close_run(sink, run(2, org="closed"), "done")
    for org in ("acme", "closed"):
        assert not (await open_lease(sink, run(1, org=org))).is_open


async def test_runs_of_other_workflows_do_not_supersede_each_other(sink: Sink) -> None:
    await open_lease(sink, run(1))
    await open_lease(sink, run(2, type_="delta"))
    await open_lease(sink, run(3, org="other"))
    assert (await open_lease(sink, run(1))).is_open


async def test_leases_are_opened_in_the_order_of_their_requests(sink: Sink) -> None:
    await close_run(sink, run(1, org="closed"), "done")
    requests = [request(run(1, org=org)) for org in ("b", "closed", "a", "b")]
    assert [each.is_open for each in await sink.open_leases(requests)] == [True, False, True, True]
    assert list(await sink.open_leases([])) == []


async def test_more_leases_than_fit_a_statement_are_all_opened(sink: Sink) -> None:
    requests = [request(run(1, org=f"org{number}")) for number in range(300)]
    assert [each.is_open for each in await sink.open_leases(requests)] == [True] * 300


async def test_of_two_runs_of_a_workflow_requested_together_the_newer_is_open(sink: Sink) -> None:
    requests = [request(run(number)) for number in (1, 2, 1)]
    assert [each.is_open for each in await sink.open_leases(requests)] == [False, True, False]


async def test_a_lease_of_a_run_that_may_not_write_names_the_newest_run_of_the_workflow(sink: Sink) -> None:
    await sink.open_leases([request(run(7)), request(run(9)), request(run(30, org="other"))])
    assert (await open_lease(sink, run(8))).newest == 9
    assert (await open_lease(sink, run(9))).newest is None


async def test_a_lease_has_the_lines_of_its_pages(sink: Sink) -> None:
    await open_lease(sink, run())
    await commit(sink, *(page(run(), number, row(str(number)), next_cursor=f"c{number}") for number in (1, 2, 3, 4)))
    lines = (await open_lease(sink, run(), first=2, units=2)).lines
    assert lines == (LedgerLine("", 2, ONE_ROW, False, "c2"), LedgerLine("", 3, ONE_ROW, False, "c3"))


async def test_a_lease_has_all_lines_of_its_parents(sink: Sink) -> None:
    await open_lease(sink, run())
    places = [("p1", 1), ("p1", 2), ("p2", 1), ("p3", 1), ("", 1)]
    await commit(sink, *(page(run(), number, parent=parent, is_last=number == 2) for parent, number in places))
    lines = (await open_lease(sink, run(), parents=("p3", "p1"))).lines
    found = [(line.parent, line.page, line.is_last) for line in lines]
    assert found == [("p1", 1, False), ("p1", 2, True), ("p3", 1, False)]


async def test_a_line_keeps_which_part_of_the_collection_its_page_shows_and_repairs_have_negative_numbers(
    sink: Sink,
) -> None:
    await open_lease(sink, run())
    extents = {-1: Extent(None, "a", "b"), 1: Extent(0, None, None, 7), 2: Extent(99, "x", "y", 8)}
    await commit(sink, *(page(run(), number, extent=extent) for number, extent in extents.items()))
    lines = (await open_lease(sink, run(), first=-(2**40), units=2**41)).lines
    assert {line.page: line.extent for line in lines} == extents
    assert await sink.ledger_sums(run().id) == LedgerSums(3, 1, 1)


async def test_parents_that_a_run_has_not_read_to_their_end(sink: Sink) -> None:
    await write(sink, run(), *(row(key) for key in ("a", "b", "c", "d")))
    child = run(entity=TYPED)
    await open_lease(sink, child)
    await commit(sink, *(page(child, 1, parent=key, is_last=key == "b", entity=TYPED) for key in ("b", "c")))
    asked = ParentsRequest("book", CONTACT, "acme", (), None, 2, child.id)
    assert [parent.key for parent in await sink.parents(asked)] == ["a", "c"]


@pytest.mark.parametrize(
    ("proof", "remark"),
    [(Proof(True, "met", 0), ""), (Proof(False, "no order", 0), "not proven complete: no order")],
)
async def test_a_complete_run_keeps_its_proof(sink: Sink, database: Database, proof: Proof, remark: str) -> None:
    await sink.close_runs([RunEnd(run(), "done", proof)])
    await sink.close_runs([RunEnd(run(), "failed", Proof(True, "another", 1))])
    ((stored,),) = await database.query("select proof from sluice_runs")
    assert msgspec.json.decode(stored, type=Proof) == proof
    assert (await open_lease(sink, run())).remark == remark
    assert await sink.newest_proof(run().workflow) == proof
    await open_lease(sink, run(2))
    assert await sink.newest_proof(run().workflow) is None


async def test_a_run_is_not_closed_with_a_proof_of_other_pages_than_the_ledger_has(sink: Sink) -> None:
    await write(sink, run(), row("a"))
    ends = [RunEnd(run(), "done", Proof(True, "met", pages)) for pages in (2, 1)]
    assert await sink.close_runs([ends[0], RunEnd(run(org="other"), "cancelled")]) == [
        None,
        ClosedRun("cancelled", NO_COUNTS),
    ]
    assert await commit(sink, page(run(), 1, row("a"))) == [already(1)]
    assert await sink.close_runs([ends[1]]) == [ClosedRun("done", ONE_ROW)]


async def test_closing_sums_up_the_ledger_of_its_own_run_and_folds_it_away(sink: Sink, database: Database) -> None:
    await open_lease(sink, run())
    await commit(sink, page(run(), 1, row("a"), row("b")), page(run(), 2, row("c")))
    await write(sink, run(org="other"), row("a"))
    assert await close_run(sink, run(), "done") == Counts(pages=2, records=3)
    assert await database.query("select run_id from sluice_pages") == [(run(org="other").id,)]
    found = await database.query("select state, pages, records from sluice_runs where org = 'acme'")
    assert found == [("done", 2, 3)]


async def test_a_superseded_run_keeps_its_state_and_ends_as_requested_with_its_counts(
    sink: Sink, database: Database
) -> None:
    await write(sink, run(1), row("a"))
    await open_lease(sink, run(2))
    assert await sink.close_runs([RunEnd(run(1), "cancelled")]) == [ClosedRun("cancelled", ONE_ROW)]
    assert await database.query("select state from sluice_runs where number = 1") == [("superseded",)]


async def test_a_run_that_was_never_opened_is_closed_for_good(sink: Sink, database: Database) -> None:
    assert await close_run(sink, run(), "cancelled") == NO_COUNTS
    assert not (await open_lease(sink, run())).is_open
    assert await database.query("select state from sluice_runs") == [("cancelled",)]


async def test_closing_a_run_that_was_never_opened_supersedes_older_ones_and_no_newer_one(sink: Sink) -> None:
    await open_lease(sink, run(2))
    await close_run(sink, run(1), "cancelled")
    assert (await open_lease(sink, run(2))).is_open
    await close_run(sink, run(3), "cancelled")
    assert await commit(sink, page(run(2), 1, row("a"))) == [FENCED]


async def test_runs_are_closed_together_each_with_its_own_counts_and_outcome(sink: Sink) -> None:
    """Known and unknown, one that is closed already, and one that is there twice."""
    await write(sink, run(1, org="first"), row("a"), row("b"))
    await write(sink, run(1, org="closed"), row("a"))
    await close_run(sink, run(1, org="closed"), "cancelled")
    done = [RunEnd(run(1, org=org), "done") for org in ("first", "closed", "first")]
    ends = [*done, RunEnd(run(1, org="unknown"), "failed")]
    first = ClosedRun("done", Counts(1, 2))
    unknown, closed = ClosedRun("failed", NO_COUNTS), ClosedRun("cancelled", ONE_ROW)
    assert await sink.close_runs(ends) == [first, closed, first, unknown]


async def test_a_lease_of_a_complete_run_has_its_counts_and_one_of_a_run_closed_otherwise_has_none(sink: Sink) -> None:
    await write(sink, run(1, org="done"), row("a"))
    await close_run(sink, run(1, org="done"), "done")
    await close_run(sink, run(1, org="cancelled"), "cancelled")
    assert await open_lease(sink, run(1, org="done")) == LeaseState(False, done=ONE_ROW, newest=1)
    assert await open_lease(sink, run(1, org="cancelled")) == LeaseState(False, newest=1)


async def test_a_ledger_of_100000_lines_is_folded(sink: Sink, database: Database) -> None:
    await write(sink, run(), row("a"))
    timestamp = "timestamptz " if "postgres" in database.url else ""
    await database.query(
        f"""
        insert into sluice_pages (run_id, parent, page, records, rejected, is_last, next_cursor, committed_at)
        with recursive line (n) as (select 2 union all select n + 1 from line where n < 100000)
        select '{run().id}', '', n, 2, 1, false, null, {timestamp}'2026-01-05T12:00:00Z'
        from line
        """
    )
    assert await close_run(sink, run(), "done") == Counts(100_000, 199_999, 99_999)
