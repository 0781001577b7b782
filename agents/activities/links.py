"""Links of a chain whose links are stable: what each page covers, and where the chain that the ledger has ends. Pure.

Such a page shows every record between its own link and the one that it names, whatever is inserted or deleted. Where a
page was lost and is read again, it may name another link than before, and so not meet the page that was read behind
the lost one. Only pages that lead from the first to the last one, link by link, hold everything.
"""

from collections.abc import Collection
from functools import lru_cache
from typing import NamedTuple

from agents.ports import LedgerLine
from topics.errors import Rejected
from topics.ids import derive_id

FIRST = ""  # the fingerprint of the first page, which has no link
LINKS_REMEMBERED_MAX = 1_000  # with their fingerprints: a link is looked at when it is named and when it is followed


class OpenEnd(NamedTuple):
    """Where the chain must be read on: the number that its next page gets, and its link."""

    page: int
    link: str | None


@lru_cache(maxsize=LINKS_REMEMBERED_MAX)
def fingerprint(link: str | None) -> str:
    """A link, shortened so that it can be remembered."""
    return FIRST if link is None else derive_id(link)


def open_end(lines: Collection[LedgerLine]) -> OpenEnd | None:
    """None: the pages lead to the end, which is on the last of them. Rejected: they are a cycle."""
    by_link = {line.extent.first or FIRST: line for line in lines}
    link: str | None = None
    for _ in range(len(by_link) + 1):
        line = by_link.get(fingerprint(link))
        if line is None:
            return OpenEnd(max((one.page for one in lines), default=0) + 1, link)
        if line.is_last:
            return None
        link = line.next_cursor
    raise Rejected(f"the links of {len(by_link)} pages lead back to one before: a loop")
