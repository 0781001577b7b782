"""One row against itself: typed columns, key and content hash must be what its raw record says. Pure.

Canonical JSON: keys sorted at every level, no spaces, UTF-8 unescaped. The content hash is BLAKE2b (16 bytes) over the
record's canonical JSON, with the specification of the layout as person and, below a parent, 16 bytes of BLAKE2b over
the parent's key as salt; the source's hash of a table is SHA-256 over, in key order, the key, a line feed, the
canonical JSON of id, type, attributes and relationships (only the data of each: links name the host), a line feed.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

import msgspec

from tests.checker.layouts import Layout
from tests.checker.values import Life, Table

FAULTS_MAX = 100  # of one table; what is wrong in more rows is the same, or the hash shows it
COMPARED = ("id", "type", "attributes", "relationships")
canonical = msgspec.json.Encoder(order="deterministic").encode

Row = Mapping[str, Any]


class TableReader:
    """Takes the rows of one organisation in the order of their keys' bytes. `lives` are its records', by key.

    Rows of records that died are kept: they are judged by themselves, and not compared with the source.
    """

    def __init__(self, org: str, layout: Layout, lives: Mapping[str, Life]) -> None:
        self._org = org
        self._layout = layout
        self._lives = lives
        self._rows = 0
        self._digest = hashlib.sha256()
        self._faults: list[str] = []
        self._places: set[tuple[str, str | None, int]] = set()
        self._keys: set[str] = set()

    def take(self, row: Row) -> None:
        record = msgspec.json.decode(row["raw"])
        said = {name: record[name] for name in COMPARED if name in record}
        if "relationships" in said:
            said["relationships"] = {name: {"data": one["data"]} for name, one in said["relationships"].items()}
        if self._lives:
            self._keys.add(row["id"])
        if not self._is_dead(row["id"]):
            self._rows += 1
            self._digest.update(row["id"].encode() + b"\n" + canonical(said) + b"\n")
        parent = row[self._layout.parent_column] if self._layout.parent_column else None
        self._places.add((row["run_id"], parent, row["page"]))
        if len(self._faults) < FAULTS_MAX:
            name = f"{self._org} {self._layout.entity} {row['id']}"
            self._faults += [f"{name}: {fault}" for fault in faults(self._layout, row, record)]

    def table(self) -> Table:
        return Table(
            self._org,
            self._layout.entity,
            self._rows,
            self._digest.hexdigest(),
            tuple(self._faults),
            frozenset(self._places),
            frozenset(self._keys),
        )

    def _is_dead(self, key: str) -> bool:
        return key in self._lives and self._lives[key][1] is not None


def faults(layout: Layout, row: Row, record: dict[str, Any]) -> Iterator[str]:
    """What a row says that its raw record does not."""
    parent = row[layout.parent_column] if layout.parent_column else ""
    if _content_hash(layout, parent, record) != row["content_hash"]:
        yield "content_hash is not that of its raw record"
    if (key := _key(layout, parent, record)) != row["id"]:
        yield f"its raw record has the key {key!r}"
    for column in layout.columns:
        wanted = dig(record, column.path)
        if not is_same(column.type, wanted, row[column.name]):
            yield f"{column.name} is {_shown(row[column.name])}, and its raw record says {_shown(wanted)}"
    if layout.parent_column and not parent:
        yield f"{layout.parent_column} is empty: it was read under nobody"
    if layout.updated_at and not is_same("timestamp", dig(record, layout.updated_at), row["source_updated_at"]):
        yield f"source_updated_at is {_shown(row['source_updated_at'])}, and its raw record says otherwise"
    if row.get("rejected_in") and _number_of(row["run_id"]) > _number_of(row["rejected_in"]):
        yield f"it was rejected in {row['rejected_in']}, stored in {row['run_id']}, and is still listed as rejected"


def _number_of(run_id: str) -> int:
    """Of a run: later ones of a workflow have higher ones."""
    return int(run_id.rpartition("@")[2])


def dig(value: Any, path: Sequence[str]) -> Any:
    for name in path:
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value


def _content_hash(layout: Layout, parent: str | None, record: dict[str, Any]) -> bytes:
    salt = hashlib.blake2b(parent.encode(), digest_size=16).digest() if parent else b""
    return hashlib.blake2b(canonical(record), digest_size=16, person=layout.specification, salt=salt).digest()


def _key(layout: Layout, parent: str | None, record: dict[str, Any]) -> str:
    """Parts joined by ":"; in a key of several, "%" and ":" are percent-encoded."""
    parts = [str(parent)] if layout.is_parent_in_key else []
    parts += [str(dig(record, path)) for path in layout.key]
    if len(parts) > 1:
        parts = [part.replace("%", "%25").replace(":", "%3A") for part in parts]
    return ":".join(parts)


def is_same(type_: str, wanted: Any, stored: Any) -> bool:
    """A column's value is what the record's becomes in a column of this type."""
    if wanted is None or stored is None:
        return wanted is None and stored is None
    return bool(_BECOMES[type_](wanted) == (msgspec.json.decode(stored) if type_ == "json" else stored))


def _number(value: Any) -> float:
    is_whole = isinstance(value, int) or (isinstance(value, str) and value.lstrip("-").isdigit())
    return int(value) if is_whole else float(value)


def _moment(value: str) -> datetime:
    """RFC 3339; a bare date is its midnight in UTC."""
    if len(value) == len("2026-01-05"):
        return datetime.fromisoformat(value).replace(tzinfo=UTC)
    return msgspec.convert(value, datetime).astimezone(UTC)


_BECOMES: Mapping[str, Callable[[Any], object]] = {
    "text": str,
    "integer": _number,
    "number": _number,
    "boolean": lambda value: value,
    "timestamp": _moment,
    "date": lambda value: msgspec.convert(value, date),
    "json": lambda value: value,
}


def _shown(value: Any) -> str:
    return repr(value)[:80]
