"""Dispatch by paging style: pages by number, chains of pages, and pages under each of many parents."""

from agents.activities.chain import Chain
from agents.activities.lease import Known, Lease
from agents.activities.results import Failure, UnitDone, UnitResult, from_ledger
from agents.ports import Parent
from manifests.entity import Entity, path_columns
from topics.command import NO_COUNTS
from topics.errors import Rejected
from topics.kinds.entity import PageDone

PAGES_PER_PARENT_MAX = 10_000


async def read_numbered(lease: Lease) -> PageDone:
    """Pages by their numbers, several at a time; the very first one alone, since it says how many there are."""
    known = await lease.open()
    first, units = lease.command.first, lease.command.units

    async def unit(index: int) -> UnitDone:
        return await _page(lease, first + index, known)

    if first > 1:
        return lease.report(await lease.in_window(range(units), unit))
    results: list[UnitResult] = await lease.in_window(range(1), unit)
    (head,) = results
    if not isinstance(head, Failure) and not head.end:
        in_ledger = max((page for _, page in known), default=0)
        claimed = max(head.total or 0, in_ledger + 1, 2)  # this one is not the last, whatever is claimed
        results += await lease.in_window(range(1, min(units, claimed)), unit)
    return lease.report(results)


async def read_chain(lease: Lease) -> PageDone:
    """Pages that name each other, one after the other."""
    known = await lease.open()
    command = lease.command
    chain = Chain(lease.pages, command.first, command.units, command.cursor, lease.must_stop)
    return lease.report(await chain.read({page: line for (_, page), line in known.items()}))


async def read_parents(lease: Lease, parent_entity: Entity) -> PageDone:
    """Every page under each of the next parents, several parents at a time; a parent is a unit."""
    command, database = lease.command, lease.pages.database
    names = path_columns(lease.pages.entity)
    found = await database.parents(
        command.adapter, parent_entity, command.org, names, command.cursor, command.units + 1
    )
    parents, is_last = found[: command.units], len(found) <= command.units
    total = None
    if command.first == 1:
        total = await database.count(command.adapter, parent_entity, command.org)
    known = await lease.open(tuple(parent.key for parent in parents))
    if not parents:
        return lease.report([], total).model_copy(update={"end": True})

    async def unit(index: int) -> UnitDone:
        return await _under(lease, parents[index], known, is_last=is_last and index == len(parents) - 1)

    return lease.report(await lease.in_window(range(len(parents)), unit), total)


async def _page(lease: Lease, page: int, known: Known) -> UnitDone:
    if (line := known.get(("", page))) is not None:
        return from_ledger(line)
    body = await lease.pages.fetch(page, None)
    return lease.pages.done(body, await lease.pages.commit(page, body))


async def _under(lease: Lease, parent: Parent, known: Known, is_last: bool) -> UnitDone:
    counts, link = NO_COUNTS, None
    for page in range(1, PAGES_PER_PARENT_MAX + 1):
        line = known.get((parent.key, page))
        if line is not None:
            done = from_ledger(line)
        else:
            body = await lease.pages.fetch_under(parent, page, link)
            done = lease.pages.done(body, await lease.pages.commit(page, body, parent.key))
        counts, link = counts + done.counts, done.next_cursor
        if done.end:
            return UnitDone(counts, end=is_last, next_cursor=parent.key)
    raise Rejected(f"parent {parent.key} has more than {PAGES_PER_PARENT_MAX} pages: is its paging a loop?")
