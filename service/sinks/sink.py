"""Sink of any SQL database: several pages in one transaction, without the records that the database refuses, and
without second versions of a record.
"""

from abc import abstractmethod
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import chain
from typing import Any

import msgspec
from msgspec.structs import replace

from agents.deletes import DeletingSink
from agents.ledger import LedgerSums, Proof
from agents.ports import (
    PAGES_PER_COMMIT_MAX,
    PageOutcome,
    PageWrite,
    Parent,
    ParentsRequest,
    RejectedRecord,
    RunEnd,
    RunRef,
)
from agents.records.reader import KEY_CHARS_MAX
from manifests.entity import Adapter, Entity, FieldType
from service.clock import Clock
from service.sinks.repeats import apart
from service.sinks.schema import Correction, as_text, entity_table
from topics.errors import Broken, Rejected, shortened
from topics.kinds.sync import RECONCILIATION

Statement = tuple[str, tuple[object, ...]]  # with its arguments
REFUSED_SEARCHES_MAX = 3  # of one page for rows that the database refuses; then the page is rejected
PARENTS_READ_MAX = 10_000  # rows of one call; the next call begins after the last key
RECORDS_READ_MAX = 1_000  # rows of one query


class DataRefused(Rejected):
    """The database cannot store some of the rows (a constraint, a value out of range). Nothing was written."""


class SqlSink(DeletingSink):
    """The part of a sink that is the same in every database. `sql` are its statements by name."""

    sql: Mapping[str, str]
    clock: Clock

    @abstractmethod
    async def write(self, pages: Sequence[PageWrite]) -> Sequence[PageOutcome]:
        """Write all pages in one transaction. DataRefused if the database refuses a record."""

    @abstractmethod
    async def refused_rows(self, page: PageWrite) -> Mapping[int, str]:
        """The reasons of refused rows by their position. Tries the page's rows one by one, and keeps none."""

    @abstractmethod
    async def dangers(self) -> Sequence[str]:
        """Settings of the database that put at risk what it has committed: a sentence each, with the remedy."""

    @abstractmethod
    async def corrections(self, adapter: Adapter) -> Sequence[Correction]:
        """The columns whose types are not those of the manifests."""

    @abstractmethod
    async def correct(self, correction: Correction) -> None:
        """Make the column anew, in one transaction. Rejected or Retryable: nothing was changed."""

    @abstractmethod
    async def transact(
        self, statements: Sequence[Statement], conditions: Sequence[Statement] = ()
    ) -> list[Sequence[tuple[Any, ...]]]:
        """What each statement finds, all in one transaction; nothing, if a condition finds nothing."""

    @abstractmethod
    def moment(self, at: datetime) -> object:
        """A time as the database takes it."""

    @abstractmethod
    async def fetch(self, query: str, *arguments: object) -> Sequence[tuple[Any, ...]]:
        """The rows that the query finds."""

    async def commit(self, pages: Sequence[PageWrite]) -> Sequence[PageOutcome]:
        """Refused rows, and second versions of a record, become rejected records of their page."""
        if len(pages) > PAGES_PER_COMMIT_MAX:
            raise Broken(f"{len(pages)} pages in one commit: commit at most {PAGES_PER_COMMIT_MAX}")
        if len({(page.run.adapter, page.entity.name) for page in pages}) > 1:
            raise Broken("pages of several entities in one commit: they go to different tables")
        named = [(_identity(page), page) for page in pages]
        first: dict[tuple[str, str, int], PageWrite] = {}
        for name, page in named:
            first.setdefault(name, page)
        if not first:
            return []
        outcomes: dict[tuple[str, str, int], PageOutcome] = {}
        for group in _groups(first.values()):
            outcomes |= zip(map(_identity, group), await self._write(group), strict=True)
        return [_outcome(outcomes[name], page is not first[name]) for name, page in named]

    async def parents(self, request: ParentsRequest) -> Sequence[Parent]:
        table = entity_table(request.adapter, request.entity)
        types = table.types_of(request.columns)
        named = "".join(f', "{name}"' for name in types)
        which, more = self._which(request)
        arguments = (request.org, request.after or "", min(request.limit, PARENTS_READ_MAX), *more)
        query = self.sql["parents"].format(columns=named, table=table.name, which=which)
        found = await self.fetch(query, *arguments)
        return [parent_of(key, types, values) for key, *values in found]

    def _which(self, request: ParentsRequest) -> tuple[str, list[object]]:
        """The further conditions of parents, and their arguments: from the fourth on."""
        which, more = "", list[object]()
        if request.unread_by is not None:
            which += self.sql["unread"].format(run=4)
            more += [request.unread_by]
        if (due := request.due) is not None:
            names = ("adapter", "entity", "due", "most")
            which += self.sql["changed"].format(**{name: 4 + len(more) + n for n, name in enumerate(names)})
            more += [request.adapter, due.entity, self.moment(due.before), due.most]
        return which, more

    async def ledger_sums(self, run: str) -> LedgerSums:
        (sums,) = await self.fetch(self.sql["ledger_sums"], run)
        return LedgerSums(*sums)

    async def newest_proof(self, workflow: str) -> Proof | None:
        found = await self.fetch(self.sql["newest_proof"], workflow)
        texts = [proof for state, proof in found if state == "done" and proof is not None]
        return msgspec.json.decode(texts[0], type=Proof) if texts else None

    async def records(self, table: str, org: str) -> AsyncIterator[tuple[str, str]]:
        """Key and raw JSON of each row of an organisation, in byte order of the keys. For checks, not for syncs."""
        query, after = self.sql["parents"].format(columns=", raw", table=table, which=""), ""
        while found := await self.fetch(query, org, after, RECORDS_READ_MAX):
            for after, raw in found:
                yield after, raw

    async def count(self, adapter: str, entity: Entity, org: str) -> int:
        ((count,),) = await self.fetch(self.sql["count"].format(table=entity_table(adapter, entity).name), org)
        return int(count)

    async def _write(self, pages: Sequence[PageWrite]) -> Sequence[PageOutcome]:
        try:
            return await self.write(pages)
        except DataRefused:
            return [await self._write_single(page) for page in pages]

    async def _write_single(self, page: PageWrite) -> PageOutcome:
        reason = ""
        for _ in range(REFUSED_SEARCHES_MAX):
            try:
                return (await self.write([page]))[0]
            except DataRefused as error:
                reason = str(error)
            page = _without_refused(page, await self.refused_rows(page))
        raise Rejected(
            f"page {page.page} of {page.run.id} cannot be stored, though each of its rows can: check the constraints "
            f"and triggers of its table. The database reported: {reason}"
        )


def _groups(pages: Iterable[PageWrite]) -> Iterator[list[PageWrite]]:
    """Pages that can be written by one statement: of one way of writing, and without two versions of a record."""
    ways: dict[tuple[bool, bool], list[PageWrite]] = {}
    for page in pages:
        ways.setdefault((compares(page.run), page.run.verify), []).append(page)
    return chain.from_iterable(map(apart, ways.values()))


def compares(run: RunRef) -> bool:
    """Whether the run notes what it has seen, and how the rows differ."""
    return run.type == RECONCILIATION


def parent_of(key: str, types: Mapping[str, FieldType], values: Sequence[object]) -> Parent:
    """Without columns that have no value: no child can be read by those."""
    named = zip(types.items(), values, strict=True)
    return Parent(key, {name: as_text(value, type_) for (name, type_), value in named if value is not None})


def _identity(page: PageWrite) -> tuple[str, str, int]:
    return (page.run.id, page.parent, page.page)


def _outcome(outcome: PageOutcome, is_repeated: bool) -> PageOutcome:
    return replace(outcome, status="already") if is_repeated and outcome.status == "committed" else outcome


def _without_refused(page: PageWrite, refused: Mapping[int, str]) -> PageWrite:
    rejected = (
        RejectedRecord(row.key, shortened(f"the database refused it: {refused[position]}"), row.raw)
        for position, row in enumerate(page.rows)
        if position in refused
    )
    rows = tuple(row for position, row in enumerate(page.rows) if position not in refused)
    return replace(page, rows=rows, rejected=tuple(_storable(record) for record in (*page.rejected, *rejected)))


def _storable(record: RejectedRecord) -> RejectedRecord:
    return RejectedRecord(
        storable_text(record.key)[:KEY_CHARS_MAX], storable_text(record.reason), storable_text(record.raw)
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


def proof_text(end: RunEnd) -> str | None:
    """The run's proof as JSON."""
    return None if end.proof is None else msgspec.json.encode(end.proof).decode()
