"""Several pages in one transaction, whatever single records the database refuses. Knows no database."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from agents.ports import PAGES_PER_COMMIT_MAX, PageOutcome, PageWrite, RejectedRecord
from topics.errors import Broken, Rejected

CULPRIT_ROUNDS_MAX = 3  # how often a page is searched for rows that the database refuses, before it is given up
REASON_CHARACTERS_MAX = 1000
REFUSED_KEY_CHARACTERS_MAX = 500  # of a key that is kept of a refused record: it has to fit an index


class DataRefused(Rejected):
    """The database will not store some of these rows (a constraint, a value it cannot hold). Nothing was written."""


class PageWriter(Protocol):
    """A database's side: the transaction itself, and the search for what it refuses."""

    async def write(self, pages: Sequence[PageWrite]) -> Sequence[PageOutcome]:
        """One transaction. DataRefused if the database refuses a record, whichever it was."""
        ...

    async def refused_rows(self, page: PageWrite) -> Mapping[int, str]:
        """Try the page's rows one by one, keep nothing, and say which are refused and why, by their position."""
        ...


async def write_group(writer: PageWriter, pages: Sequence[PageWrite]) -> list[PageOutcome]:
    """Sink.commit: an outcome per page in their order. Refused rows become rejected records; their page goes on."""
    if len(pages) > PAGES_PER_COMMIT_MAX:
        raise Broken(f"{len(pages)} pages in one commit; the most is {PAGES_PER_COMMIT_MAX}")
    if len({(page.run.adapter, page.entity.name) for page in pages}) > 1:
        raise Broken("pages of several entities in one commit: they go to different tables")
    first: dict[tuple[str, str, int], PageWrite] = {}
    for page in pages:
        first.setdefault(_place(page), page)
    if not first:
        return []
    distinct = list(first.values())
    outcomes = dict(zip(first, await _write(writer, distinct), strict=True))
    return [_told(outcomes[_place(page)], is_repeated=page is not first[_place(page)]) for page in pages]


def _place(page: PageWrite) -> tuple[str, str, int]:
    return (page.run.id, page.parent, page.page)


def _told(outcome: PageOutcome, is_repeated: bool) -> PageOutcome:
    return replace(outcome, status="already") if is_repeated and outcome.status == "committed" else outcome


async def _write(writer: PageWriter, pages: Sequence[PageWrite]) -> list[PageOutcome]:
    try:
        return list(await writer.write(pages))
    except DataRefused:
        return [await _write_alone(writer, page) for page in pages]


async def _write_alone(writer: PageWriter, page: PageWrite) -> PageOutcome:
    reason = ""
    for _ in range(CULPRIT_ROUNDS_MAX):
        try:
            return (await writer.write([page]))[0]
        except DataRefused as error:
            reason = str(error)
        page = _set_aside(page, await writer.refused_rows(page))
    raise Rejected(
        f"page {page.page} of {page.run.id} cannot be stored, though each of its rows can: the database says: {reason}"
    )


def _set_aside(page: PageWrite, refused: Mapping[int, str]) -> PageWrite:
    culprits = (
        RejectedRecord(row.key, f"the database refused it: {refused[position]}"[:REASON_CHARACTERS_MAX], row.raw)
        for position, row in enumerate(page.rows)
        if position in refused
    )
    rows = tuple(row for position, row in enumerate(page.rows) if position not in refused)
    return replace(page, rows=rows, rejected=tuple(_storable(record) for record in (*page.rejected, *culprits)))


def _storable(record: RejectedRecord) -> RejectedRecord:
    return RejectedRecord(
        storable_text(record.key)[:REFUSED_KEY_CHARACTERS_MAX], storable_text(record.reason), storable_text(record.raw)
    )


def storable_text(text: str) -> str:
    r"""Text that every database takes: NUL and lone surrogates become escapes (`\x00`, `\ud800`)."""
    return text.replace("\x00", "\\x00").encode("utf-8", "backslashreplace").decode()


def one_row(page: PageWrite, position: int) -> PageWrite:
    """A page that holds one row of `page` only, under a number that no page has: to try the row, never to keep it."""
    return replace(page, page=-1 - position, rows=(page.rows[position],), rejected=(), next_cursor=None)


def rejection_places(page: PageWrite) -> list[str]:
    """What tells rejected records without a key apart: where they stand. Those with a key need nothing more."""
    return [
        "" if record.key else f"{page.parent}/{page.page}/{position}" for position, record in enumerate(page.rejected)
    ]
