"""Which parents a delta reads under: those that have changed since that was done last, and the oldest of the others."""

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from agents.deletes import DeletingSink
from agents.ledger import Comparison, Due, Proof
from agents.ports import ParentsRequest, RunEnd
from tests.sinks.builders import CHILD, CONTACT, adapter, row, run, write

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
A_CENTURY = 60 * 24 * 365 * 100


async def due(sink: DeletingSink, before: datetime = LONG_AGO, most: int = 10, after: str | None = None) -> list[str]:
    request = ParentsRequest("book", CONTACT, "acme", (), after, 100, None, Due(CHILD.name, before, most))
    return [parent.key for parent in await sink.parents(request)]


@pytest.fixture
async def read(sink: DeletingSink) -> DeletingSink:
    """Contacts a, b and c are stored; what stands under a and b has been read."""
    await sink.prepare(adapter(CONTACT, CHILD))
    await write(sink, run(), row("a"), row("b"), row("c"))
    of = run(entity=CHILD)
    for parent in ("a", "b"):
        await write(sink, of, entity=CHILD, parent=parent, is_last=True)
    await sink.close_runs([RunEnd(of, "done", Proof(True, "", 2))])
    return sink


async def test_what_was_never_read_under_is_due(read: DeletingSink) -> None:
    assert await due(read) == ["c"]


async def test_what_has_changed_since_is_due(read: DeletingSink) -> None:
    await write(read, run(2), row("a", "Edited"), row("b"), read=A_CENTURY)
    assert await due(read) == ["a", "c"]
    assert await due(read, after="a") == ["c"]


async def test_what_nobody_has_looked_at_for_long_is_due_some_at_a_time(read: DeletingSink) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    assert await due(read, later) == ["a", "b", "c"]
    assert await due(read, later, most=1) == ["a", "c"]


@pytest.mark.parametrize("way", ["failed", "not to its end", "verified"])
async def test_only_lists_that_a_run_has_read_to_their_end_count(sink: DeletingSink, way: str) -> None:
    await sink.prepare(adapter(CONTACT, CHILD))
    await write(sink, run(), row("a"))
    of = run(entity=CHILD)
    if way == "verified":
        of = replace(run(entity=CHILD, type_="reconciliation"), verify=True)
    await write(sink, of, entity=CHILD, parent="a", is_last=way != "not to its end")
    compared = Comparison(0, 0, 0, 0, verified=True) if way == "verified" else None
    ended = RunEnd(of, "failed" if way == "failed" else "done", Proof(True, "", 1, comparison=compared))
    await sink.close_runs([ended])
    assert await due(sink) == ["a"]


async def test_what_is_read_is_gone_through_in_any_number_of_steps(read: DeletingSink) -> None:
    of = run(2, entity=CHILD, type_="delta")
    await write(read, of, entity=CHILD, parent="c", is_last=True)
    request = ParentsRequest("book", CONTACT, "acme", (), None, 100, of.id, Due(CHILD.name, LONG_AGO, 10))
    assert await read.parents(request) == []
    await read.close_runs([RunEnd(of, "done", Proof(True, "", 1))])
    assert await due(read) == []
