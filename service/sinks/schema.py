"""The table of an entity's rows, for any database: its columns, the statements that make it, and values as text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Literal

from manifests.entity import Adapter, ColumnSpec, Entity, FieldType, columns, table_name
from topics.errors import Rejected

KEY = ("org", "id")
PROVENANCE: Mapping[str, FieldType | Literal["hash"]] = {
    "raw": "json",
    "content_hash": "hash",
    "source": "text",
    "run_id": "text",
    "page": "integer",
    "fetched_at": "timestamp",
    "source_updated_at": "timestamp",
}
NULLABLE = "source_updated_at"


@dataclass(frozen=True, slots=True)
class Dialect:
    """Type names of a database, as it reports them itself, so that an existing table can be compared.

    `key` is the collation of keys: they are compared by bytes.
    """

    types: Mapping[FieldType | Literal["hash"], str]
    key: str


@dataclass(frozen=True, slots=True)
class EntityTable:
    """An entity's table by its manifest. Names consist of lower-case letters, digits and _ (manifests.entity).

    Its columns are the key, those of the entity's fields, and the provenance of the row.
    """

    name: str
    columns: tuple[ColumnSpec, ...]

    @property
    def parent_column(self) -> str:
        """The column with the parent's key, "" at the top level."""
        return next((column.name for column in self.columns if not column.source), "")

    @property
    def column_names(self) -> list[str]:
        return [*KEY, *(column.name for column in self.columns), *PROVENANCE]

    def changes(self, existing: Mapping[str, str], dialect: Dialect) -> list[str]:
        """The statements that create the table, or add what it lacks. `existing` are its columns with their types.

        Rejected if a column has another type, or Sluice did not make the table.
        """
        typed = {column.name: dialect.types[column.type] for column in self.columns}
        own = {name: dialect.types[type_] for name, type_ in PROVENANCE.items()}
        if not existing:
            key = {name: f"text {dialect.key} not null" for name in KEY}
            own = {name: type_ if name == NULLABLE else f"{type_} not null" for name, type_ in own.items()}
            lines = ", ".join(f'"{name}" {type_}' for name, type_ in {**key, **typed, **own}.items())
            return [f'create table if not exists "{self.name}" ({lines}, primary key (org, id))']
        for name in (*KEY, *own):
            if name not in existing:
                raise Rejected(
                    f"table {self.name} exists, but has no column {name}: Sluice did not make it. Rename it; "
                    "then Sluice creates its own"
                )
        for name, type_ in {**dict.fromkeys(KEY, "text"), **typed, **own}.items():
            if existing.get(name, type_) != type_:
                raise Rejected(
                    f"column {name} of table {self.name} is {existing[name]}, and the manifest makes it {type_}. Give "
                    "the field another name in the manifest, or change the column's type in the database"
                )
        return [
            f'alter table "{self.name}" add column "{name}" {type_}'
            for name, type_ in typed.items()
            if name not in existing
        ]

    def types_of(self, names: Sequence[str]) -> dict[str, FieldType]:
        """The types of the named columns, the key's included. Rejected for a name that the table does not have."""
        known: dict[str, FieldType] = {"id": "text", **{column.name: column.type for column in self.columns}}
        unknown = [name for name in names if name not in known]
        if unknown:
            raise Rejected(
                f"table {self.name} has no column {', '.join(unknown)} to read children by; name one of: "
                f"{', '.join(sorted(known))}"
            )
        return {name: known[name] for name in names}


def entity_table(adapter: str, entity: Entity) -> EntityTable:
    return EntityTable(table_name(adapter, entity.name), columns(entity))


def entity_tables(adapter: Adapter) -> tuple[EntityTable, ...]:
    return tuple(entity_table(adapter.name, entity) for entity in adapter.entities.values())


def as_text(value: object, type_: FieldType) -> str:
    """A stored value as a path or a query has it."""
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, date):
        return value.isoformat()
    if type_ == "boolean":
        return "true" if value else "false"
    return str(value)


def iso(moment: datetime) -> str:
    """ISO 8601 in UTC with microseconds: all have one length, so that they sort as text by time."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
