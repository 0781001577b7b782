"""Closing of a run that has read everything: what the ledger lacks is read again, then the proof of it is kept.

The ledger lacks a page that was reported if the database lost it: a failover to a replica that misses the last commits.
It has a gap where the source moved between two pages.
"""

from collections.abc import Awaitable, Sequence

from agents.activities.chain import Chain
from agents.activities.changes import changes_read
from agents.activities.enumeration import Enumeration
from agents.activities.lease import PAGES_MAX, Lease
from agents.activities.links import open_end
from agents.activities.paging import numbered, under
from agents.activities.results import Failure, Fenced, UnitResult
from agents.activities.sweep import swept
from agents.ledger import Changes, Proof
from agents.ports import LedgerLine, RunEnd
from manifests.entity import Entity
from topics.command import NO_COUNTS, Counts
from topics.errors import shortened
from topics.kinds.entity import KEY, PageDone

PARENTS_MAX = 100  # that are read again by one lease; the next one reads the others


async def close(lease: Lease, above: Entity | None) -> PageDone:
    """Complete the run, and close it. Without `closed` in the answer time was up before that, or something failed.

    `above` is the entity that the run's collections stand under.
    """
    if above is not None:
        return await _close_parents(lease, above)
    if lease.command.closing or lease.command.first > 1 or not lease.is_aware:
        await lease.open_all()
    results: list[UnitResult] = []
    while (lacking := _lacking(lease)) is not None:
        results += await lacking
        if isinstance(results[-1], Failure) or lease.is_late():
            return _reported(lease, results)
    enumeration = Enumeration(lease.pages, lease.layout, lease.collection())
    if not await enumeration.repair(lease.is_late):
        return _reported(lease, results, enumeration.counts)
    proof = _proof(enumeration.unproven(), enumeration)
    return await _closed(lease, _reported(lease, results, enumeration.counts), proof)


def _lacking(lease: Lease) -> Awaitable[list[UnitResult]] | None:
    """The reading of what the ledger lacks, by the numbers of its pages or along their chain; None: it lacks none."""
    if lease.layout.stable:
        end = open_end(lease.collection().values())
        return Chain(lease, end.page, PAGES_MAX, end.link).read() if end else None
    missing = _missing(lease)
    return _read_again(lease, missing) if missing else None


def _missing(lease: Lease) -> list[int]:
    """The pages that were reported and are not in the ledger, up to the first one that said that nothing follows; if
    that was lost, or says so no more, up to the one behind all others."""
    lines = {page: line for page, line in lease.collection().items() if page > 0}
    ends = (page for page, line in lines.items() if line.is_last)
    last = min(ends, default=max(lines, default=0) + 1)
    return [page for page in range(1, last + 1) if lease.known(page) is None]


async def _read_again(lease: Lease, missing: Sequence[int]) -> list[UnitResult]:
    if not lease.layout.is_linked:
        return await numbered(lease, missing)
    before = lease.known(missing[0] - 1)
    chain = Chain(lease, missing[0], missing[-1] - missing[0] + 1, before.next_cursor if before else None)
    return await chain.read()


async def _close_parents(lease: Lease, above: Entity) -> PageDone:
    command, database, pages = lease.command, lease.pages.database, lease.pages
    request = lease.parents(above, None, PARENTS_MAX, unread=True)
    results: list[UnitResult] = []
    while True:
        # First: what is lost, or found by another run, after these two is missing below, or the run stays open.
        sums, unproven = await database.ledger_sums(pages.run.id), await _unproven_above(lease, above)
        if not (missing := await database.parents(request)):
            break
        results += await under(lease, missing, False)
        if isinstance(results[-1], Failure) or lease.is_late():
            lost_before = {"pages": 0, "records": 0, "rejected": 0}  # they were counted then
            return _reported(lease, results).model_copy(update=lost_before)
    lost = f"{command.pages} pages were reported, and the database has {sums.pages}"
    reason = lost if sums.pages < command.pages else lease.unproven or unproven
    proof = Proof(not reason, reason or "each list was read to its end", sums.pages, sums.boundaries, sums.repairs)
    return await _closed(lease, _reported(lease, results), proof)


async def _unproven_above(lease: Lease, above: Entity) -> str:
    """Why the parents, in the database, may not be all that there are."""
    command = lease.command
    workflow = KEY.key(command.org, command.adapter, above.name, command.type)
    proof = await lease.pages.database.newest_proof(workflow)
    if proof is None:
        return f"they stand under {above.name}, of which the database has no complete run"
    return "" if proof.complete else shortened(f"they stand under {above.name}, which is not proven: {proof.reason}")


def _reported(lease: Lease, results: Sequence[UnitResult], repaired: Counts = NO_COUNTS) -> PageDone:
    """The counts of what was read here; its units were counted before."""
    done = lease.report(results)
    counts = done.counts + repaired
    more = {"pages": counts.pages, "records": counts.records, "rejected": counts.rejected}
    return done.model_copy(update={"units": 0, "end": False, "next_cursor": lease.command.cursor, **more})


def _proof(reason: str, enumeration: Enumeration) -> Proof:
    lines = sorted(enumeration.lines.values(), key=lambda line: line.page)
    numbered = [line for line in lines if line.page > 0]
    return Proof(
        complete=not reason,
        reason=reason or enumeration.proven_by(),
        pages=len(lines),
        boundaries=enumeration.boundaries,
        repairs=enumeration.repairs,
        total_first=_total(numbered[:1]),
        total_last=_total(numbered[-1:]),
        changes=_changes(enumeration, lines) if not reason else None,
    )


def _changes(enumeration: Enumeration, lines: Sequence[LedgerLine]) -> Changes | None:
    """The watermark of a run that stores nothing would skip what it has not stored."""
    pages = enumeration.pages
    return None if pages.run.verify else changes_read(pages.entity, pages.since, lines)


async def _closed(lease: Lease, done: PageDone, proof: Proof) -> PageDone:
    """Without `closed`, where time is up before what the run has not seen was looked for."""
    ended = await swept(lease, proof)
    if ended is None:
        return done
    closed = await lease.pages.database.close_run(RunEnd(lease.pages.run, "done", ended))
    if closed.outcome != "done":
        raise Fenced
    return done.model_copy(update={"closed": closed.counts, "remark": shortened(ended.remark)})


def _total(lines: Sequence[LedgerLine]) -> int | None:
    return lines[0].extent.total if lines else None
