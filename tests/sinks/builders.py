"""Small things to write: an entity with every type of column, its runs, pages and rows."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from agents.ledger import BEGINNING, Extent
from agents.ports import (
    LeaseRequest,
    LeaseState,
    PageOutcome,
    PageWrite,
    RejectedRecord,
    RowWrite,
    RunEnd,
    RunRef,
    Sink,
)
from manifests.entity import Adapter, AdapterFile, Body, Entity, RateLimit
from topics.command import Counts, RunOutcome
from topics.kinds.entity import KEY

FENCED = PageOutcome("fenced")
NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
CONTACT = Entity.model_validate(
    {"name": "book.contact", "path": "/contacts", "fields": {"name": {"type": "text", "from": "name"}}}
)
# Ids are unique only below a parent, which the manifest does not say.
CHILD = Entity.model_validate(
    {
        "name": "book.phone",
        "path": "/contacts/{id}/phones",
        "under": {"entity": "book.contact", "column": "contact_id"},
        "fields": {"number": {"type": "text", "from": "number"}},
    }
)
# Names that SQL or our own statement uses, one column of each type.
TYPED = Entity.model_validate(
    {
        "name": "book.typed",
        "path": "/typed",
        "fields": {
            "order": {"type": "text", "from": "a"},
            "position": {"type": "integer", "from": "b"},
            "type": {"type": "number", "from": "c"},
            "parent": {"type": "boolean", "from": "d"},
            "ord": {"type": "timestamp", "from": "e"},
            "key": {"type": "date", "from": "f"},
            "records": {"type": "json", "from": "g"},
        },
    }
)


def adapter(*entities: Entity) -> Adapter:
    file = AdapterFile(
        name="book",
        title="Address book",
        base_url="https://book.example",
        body=Body(records="data"),
        limit=RateLimit(requests=1, seconds=1),
    )
    return Adapter(file=file, entities={entity.name: entity for entity in entities or (CONTACT, TYPED)})


def run(number: int = 1, org: str = "acme", entity: Entity = CONTACT, type_: str = "full") -> RunRef:
    return RunRef(KEY.key(org, "book", entity.name, type_), number, org, "book", entity.name, type_)


def row(key: str, name: str | None = "Ann", minute: int | None = None, content: str | None = None) -> RowWrite:
    """`minute` is the source's time of the last change; the hash is that of `content`, or else of the name."""
    updated_at = None if minute is None else NOON + timedelta(minutes=minute)
    return RowWrite(key, (name,), f'{{"id": "{key}"}}', (content or str(name)).encode(), updated_at)


def typed_row(key: str, *values: object) -> RowWrite:
    return RowWrite(key, values, "{}", b"hash", None)


AFTER_NOON = datetime.fromisoformat("2026-01-05T13:00:00.000001+01:00")  # by a microsecond
EVERY_TYPE = ("text", 2**63 - 1, 1.5, True, AFTER_NOON, date(2026, 1, 5), '{"a":[1]}')


def page(
    of: RunRef,
    number: int,
    *rows: RowWrite,
    parent: str = "",
    rejected: Sequence[RejectedRecord] = (),
    entity: Entity = CONTACT,
    is_last: bool = False,
    next_cursor: str | None = None,
    read: int = 0,
    extent: Extent = BEGINNING,
) -> PageWrite:
    """`read` is the minute after noon at which its request was begun."""
    read_at = NOON + timedelta(minutes=read)
    return PageWrite(of, entity, parent, number, rows, tuple(rejected), is_last, next_cursor, read_at, extent)


def committed(records: int, rejected: int = 0) -> PageOutcome:
    return PageOutcome("committed", Counts(1, records, rejected))


def already(records: int, rejected: int = 0) -> PageOutcome:
    return PageOutcome("already", Counts(1, records, rejected))


def request(of: RunRef, first: int = 1, units: int = 10, parents: tuple[str, ...] = ()) -> LeaseRequest:
    return LeaseRequest(of, first, units, parents)


async def open_lease(sink: Sink, of: RunRef, **more: Any) -> LeaseState:
    return (await sink.open_leases([request(of, **more)]))[0]


async def commit(sink: Sink, *pages: PageWrite) -> list[PageOutcome]:
    return list(await sink.commit(pages))


async def write(sink: Sink, of: RunRef, *rows: RowWrite, number: int = 1, **more: Any) -> PageOutcome:
    """Open the run and commit one page of it."""
    await open_lease(sink, of)
    return (await commit(sink, page(of, number, *rows, **more)))[0]


async def close_run(sink: Sink, of: RunRef, outcome: RunOutcome) -> Counts:
    (closed,) = await sink.close_runs([RunEnd(of, outcome)])
    assert closed is not None
    return closed.counts
