"""Group commit: several pages in one transaction, without the records that the database refuses."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from agents.ports import PAGES_PER_COMMIT_MAX, PageOutcome, PageWrite, RejectedRecord
from topics.errors import Broken, Rejected

REFUSED_SEARCHES_MAX = 3  # of one page for rows that the database refuses; then the page is rejected
REASON_CHARACTERS_MAX = 1000
REFUSED_KEY_CHARACTERS_MAX = 500  # of a refused record's key: it has to fit an index


class DataRefused(Rejected):
    """The database cannot store some of the rows (a constraint, a value out of range). Nothing was written."""


class PageWriter(Protocol):
    """The part of a group commit that depends on the database."""

    async def write(self, pages: Sequence[PageWrite]) -> Sequence[PageOutcome]:
        """Write all pages in one transaction. DataRefused if the database refuses a record."""
        ...

    async def refused_rows(self, page: PageWrite) -> Mapping[int, str]:
        """The reasons of refused rows by their position. Tries the page's rows one by one, and keeps none."""
        ...


async def write_group(writer: PageWriter, pages: Sequence[PageWrite]) -> list[PageOutcome]:
    """Sink.commit: an outcome for each page, in order. Refused rows become rejected records of their page."""
    if len(pages) > PAGES_PER_COMMIT_MAX:
        raise Broken(f"{len(pages)} pages in one commit: commit at most {PAGES_PER_COMMIT_MAX}")
    if len({(page.run.adapter, page.entity.name) for page in pages}) > 1:
        raise Broken("pages of several entities in one commit: they go to different tables")
    first: dict[tuple[str, str, int], PageWrite] = {}
    for page in pages:
        first.setdefault(_identity(page), page)
    if not first:
        return []
    distinct = list(first.values())
    outcomes = dict(zip(first, await _write(writer, distinct), strict=True))
    return [_outcome(outcomes[_identity(page)], page is not first[_identity(page)]) for page in pages]


def _identity(page: PageWrite) -> tuple[str, str, int]:
    return (page.run.id, page.parent, page.page)


def _outcome(outcome: PageOutcome, is_repeated: bool) -> PageOutcome:
    return replace(outcome, status="already") if is_repeated and outcome.status == "committed" else outcome


async def _write(writer: PageWriter, pages: Sequence[PageWrite]) -> list[PageOutcome]:
    try:
        return list(await writer.write(pages))
    except DataRefused:
        return [await _write_single(writer, page) for page in pages]


async def _write_single(writer: PageWriter, page: PageWrite) -> PageOutcome:
    reason = ""
    for _ in range(REFUSED_SEARCHES_MAX):
        try:
            return (await writer.write([page]))[0]
        except DataRefused as error:
            reason = str(error)
        page = _without_refused(page, await writer.refused_rows(page))
    raise Rejected(
        f"page {page.page} of {page.run.id} cannot be stored, though each of its rows can: check the constraints and "
        f"triggers of its table. The database reported: {reason}"
    )


def _without_refused(page: PageWrite, refused: Mapping[int, str]) -> PageWrite:
    rejected = (
        RejectedRecord(row.key, f"the database refused it: {refused[position]}"[:REASON_CHARACTERS_MAX], row.raw)
        for position, row in enumerate(page.rows)
        if position in refused
    )
    rows = tuple(row for position, row in enumerate(page.rows) if position not in refused)
    return replace(page, rows=rows, rejected=tuple(_storable(record) for record in (*page.rejected, *rejected)))


def _storable(record: RejectedRecord) -> RejectedRecord:
    return RejectedRecord(
        storable_text(record.key)[:REFUSED_KEY_CHARACTERS_MAX], storable_text(record.reason), storable_text(record.raw)
    )


def storable_text(text: str) -> str:
    r"""Text that every database can store: NUL and lone surrogates become escapes (`\x00`, `\ud800`)."""
    return text.replace("\x00", "\\x00").encode("utf-8", "backslashreplace").decode()


def one_row(page: PageWrite, position: int) -> PageWrite:
    """A page with one row of `page`, under a number that no page has: to try the row, not to keep it."""
    return replace(page, page=-1 - position, rows=(page.rows[position],), rejected=(), next_cursor=None)


def rejection_places(page: PageWrite) -> list[str]:
    """Each rejected record's position, which identifies a record without a key; empty for one with a key."""
    return [
        "" if record.key else f"{page.parent}/{page.page}/{position}" for position, record in enumerate(page.rejected)
    ]
