"""Watermarks: moved by runs that are complete, in the transaction that closes them, and never back. For every sink."""

from datetime import UTC, datetime, timedelta

from agents.ledger import Changes, Extent, Proof
from agents.ports import RunEnd, RunRef, Sink
from tests.sinks.builders import close_run, open_lease, row, run, write
from tests.sinks.conftest import Database
from topics.command import RunOutcome

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


def at(minute: int) -> str:
    moment = NOON + timedelta(minutes=minute)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


async def complete(sink: Sink, of: RunRef, minute: int | None, outcome: RunOutcome = "done", pages: int = 0) -> bool:
    """The run is closed with a proof by which all changes before that minute were read. Whether it is."""
    changes = None if minute is None else Changes("", at(minute + 1), at(minute + 1), at(minute), 60)
    (closed,) = await sink.close_runs([RunEnd(of, outcome, Proof(True, "", pages, changes=changes))])
    return closed is not None


async def since(sink: Sink, number: int = 100) -> datetime | None:
    """Where a delta that begins now reads from."""
    return (await open_lease(sink, run(number, type_="delta"))).since


async def test_a_run_that_is_complete_moves_the_watermark_and_only_deltas_read_from_there(sink: Sink) -> None:
    assert await complete(sink, run(1), 7)
    assert await since(sink) == NOON + timedelta(minutes=7)
    assert (await open_lease(sink, run(2))).since is None
    assert (await open_lease(sink, run(1, org="other", type_="delta"))).since is None


async def test_a_delta_reads_from_where_it_began_whatever_moves_meanwhile(sink: Sink) -> None:
    assert await since(sink) is None
    await complete(sink, run(1), 7)
    assert await since(sink) is None
    assert await since(sink, 101) == NOON + timedelta(minutes=7)


async def test_a_watermark_never_moves_back(sink: Sink) -> None:
    for number, minute in ((1, 9), (2, 3), (3, None)):
        await complete(sink, run(number), minute)
    assert await since(sink) == NOON + timedelta(minutes=9)


async def test_a_run_that_is_not_done_or_lost_pages_or_was_closed_before_moves_nothing(sink: Sink) -> None:
    await complete(sink, run(1), 1, outcome="failed")
    await write(sink, run(2), row("a"))
    assert not await complete(sink, run(2), 2, pages=5)
    await close_run(sink, run(3), "done")
    await complete(sink, run(3), 3)
    assert await since(sink) is None


async def test_a_filter_that_is_ignored_is_noted_and_that_delta_reads_everything(
    sink: Sink, database: Database
) -> None:
    await complete(sink, run(1), 7)
    delta = run(100, type_="delta")
    assert await since(sink) is not None
    await sink.ignore_watermark(delta)
    assert await since(sink) is None
    assert await database.query("select count(*) from sluice_watermarks where ignored_at is not null") == [(1,)]


async def test_the_ledger_keeps_the_times_of_a_page(sink: Sink) -> None:
    extent = Extent(0, "a", "b", 2, asked_at=1_767_614_400_000_000, newest=1_767_614_399_999_999)
    await write(sink, run(1), row("a"), extent=extent)
    [line] = (await open_lease(sink, run(1))).lines
    assert line.extent == extent
