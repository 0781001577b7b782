"""Dispatch by paging style: pages by number, chains of pages, and pages under each of many parents."""

from collections.abc import Sequence
from functools import partial

from agents.activities.chain import Chain
from agents.activities.enumeration import Enumeration
from agents.activities.layout import Address, Layout
from agents.activities.lease import Lease
from agents.activities.results import Failure, UnitDone, UnitResult
from agents.ports import Parent
from manifests.entity import Entity
from topics.command import NO_COUNTS, Counts
from topics.errors import Rejected, shortened
from topics.kinds.entity import PageDone

PAGES_PER_PARENT_MAX = 10_000


async def read_numbered(lease: Lease) -> PageDone:
    """Pages by their numbers, several at a time; the very first one alone, since it says how many there are."""
    await lease.open()
    first, units = lease.command.first, lease.command.units
    if first > 1:
        return lease.report(await numbered(lease, range(first, first + units)))
    results = await numbered(lease, (1,))
    (head,) = results
    if not isinstance(head, Failure) and not head.end:
        in_ledger = max((page for _, page in lease.lines), default=0)
        claimed = max(head.total or 0, in_ledger + 1, 2)  # this one is not the last, whatever is claimed
        results += await numbered(lease, range(2, min(units, claimed) + 1))
    return lease.report(results)


async def numbered(lease: Lease, pages: Sequence[int]) -> list[UnitResult]:
    """The results of pages by their numbers, in order."""

    async def unit(index: int) -> UnitDone:
        page = pages[index]
        done = lease.known(page) or await _fetched(lease, page)
        lease.layout = lease.layout.as_shown(page, done.shown, done.end)
        return lease.known(page) or done

    return await lease.in_window(range(len(pages)), unit)


async def _fetched(lease: Lease, number: int) -> UnitDone:
    layout = lease.layout
    page = await lease.pages.fetch(number, layout.numbered(number), layout, front=partial(lease.front, number))
    lease.note_fetched(page)
    outcome = await lease.pages.commit(page)
    lease.note(page, outcome)
    return lease.pages.done(page, outcome, lease.layout)


async def read_chain(lease: Lease) -> PageDone:
    """Pages that name each other, one after the other."""
    await lease.open()
    command = lease.command
    return lease.report(await Chain(lease, command.first, command.units, command.cursor).read())


async def read_parents(lease: Lease, above: Entity) -> PageDone:
    """Every page under each of the next parents, several parents at a time; a parent is a unit."""
    command, database = lease.command, lease.pages.database
    request = lease.parents(above, command.cursor, command.units + 1)
    found = await database.parents(request)
    is_counted = command.first == 1 and request.due is None
    total = await database.count(command.adapter, above, command.org) if is_counted else None
    parents, is_last = found[: command.units], len(found) <= command.units
    results = await under(lease, parents, is_last)
    if not parents:
        return lease.report([], total).model_copy(update={"end": True})
    return lease.report(results, total)


async def under(lease: Lease, parents: Sequence[Parent], is_last: bool) -> list[UnitResult]:
    """The results of parents, in order. `is_last`: there are no more behind them."""
    await lease.open(tuple(parent.key for parent in parents))

    async def unit(index: int) -> UnitDone:
        return await _below(lease, parents[index], is_last and index == len(parents) - 1)

    return await lease.in_window(range(len(parents)), unit)


async def _below(lease: Lease, parent: Parent, is_last: bool) -> UnitDone:
    """All pages under a parent, and the repair of what moved between them."""
    counts, layout, address = NO_COUNTS, lease.pages.layout(), Address(0)
    for number in range(1, PAGES_PER_PARENT_MAX + 1):
        done = lease.known(number, parent.key)
        if done is None:
            front = partial(lease.front, number, parent.key)
            page = await lease.pages.fetch(number, address, layout, parent, front)
            outcome = await lease.pages.commit(page)
            lease.note(page, outcome)
            done = lease.pages.done(page, outcome, layout)
        counts += done.counts
        if done.end:
            counts += await _repaired(lease, layout, parent, number)
            return UnitDone(counts, end=is_last, next_cursor=parent.key)
        layout = layout.as_shown(number, done.shown, done.end)
        address = _following(layout, number, done.next_cursor)
    raise Rejected(f"parent {parent.key} has more than {PAGES_PER_PARENT_MAX} pages: is its paging a loop?")


def _following(layout: Layout, number: int, link: str | None) -> Address:
    """The address of the page behind the one of this number."""
    if layout.is_linked and link is not None:
        return layout.following(link)
    return layout.numbered(number + 1)


async def _repaired(lease: Lease, layout: Layout, parent: Parent, pages: int) -> Counts:
    if any((parent.key, page) not in lease.lines for page in range(1, pages + 1)):
        await lease.open((parent.key,))  # another fetcher has committed them, and may have read other records
    enumeration = Enumeration(lease.pages, layout, lease.collection(parent.key), parent)
    await enumeration.repair(lambda: False)
    if reason := enumeration.unproven():
        lease.unproven = lease.unproven or shortened(f"under {parent.key}: {reason}")
    return enumeration.counts
