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
DELETION: Mapping[str, FieldType] = {"deleted_at": "timestamp", "deleted_by_run": "text", "merged_into": "text"}


@dataclass(frozen=True, slots=True)
class Dialect:
    """Type names of a database, as it reports them itself, so that an existing table can be compared.

    `key` is the collation of keys: they are compared by bytes.
    """

    types: Mapping[FieldType | Literal["hash"], str]
    key: str


@dataclass(frozen=True, slots=True)
class Correction:
    """A column that is to have another type. It is made anew, without values: those are in `raw`. Since the digest of
    the columns is part of each row's hash, the next full sync of an organisation writes all its rows anew.
    """

    table: str
    column: str
    existing: str
    type: str

    @property
    def statements(self) -> tuple[str, str]:
        table = f'alter table "{self.table}"'
        return f'{table} drop column "{self.column}"', f'{table} add column "{self.column}" {self.type}'

    @property
    def in_use(self) -> Rejected:
        """The error where something of the owner's stands on the column."""
        return Rejected(
            f"column {self.column} of table {self.table} cannot be made anew: a view, an index or a constraint of "
            "yours uses it. Drop that, run the command again, and create it anew"
        )


@dataclass(frozen=True, slots=True)
class EntityTable:
    """An entity's table by its manifest. Names consist of lower-case letters, digits and _ (manifests.entity).

    Its columns are the key, those of the entity's fields, the provenance of the row, and how it was deleted.
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
        typed = self._typed(dialect)
        if not existing:
            key = {name: f"text {dialect.key} not null" for name in KEY}
            own = {name: type_ if name == NULLABLE else f"{type_} not null" for name, type_ in _own(dialect).items()}
            lines = ", ".join(f'"{name}" {type_}' for name, type_ in {**key, **typed, **own}.items())
            return [f'create table if not exists "{self.name}" ({lines}, primary key (org, id))']
        for wrong in self.corrections(existing, dialect):
            raise Rejected(
                f"column {wrong.column} of table {self.name} is {wrong.existing}, and the manifest makes it "
                f"{wrong.type}. Run `sluice manifests apply`: it makes the column anew, and the next full sync of each "
                "organisation fills it"
            )
        return [
            f'alter table "{self.name}" add column "{name}" {type_}'
            for name, type_ in typed.items()
            if name not in existing
        ]

    def corrections(self, existing: Mapping[str, str], dialect: Dialect) -> list["Correction"]:
        """The columns that have another type than in the manifest. Rejected if Sluice did not make the table."""
        if not existing:
            return []
        for name, type_ in {**dict.fromkeys(KEY, "text"), **_own(dialect)}.items():
            if existing.get(name) != type_:
                has = f"its column {name} is {existing[name]}" if name in existing else f"has no column {name}"
                raise Rejected(
                    f"table {self.name} exists, but {has}: Sluice did not make it. Rename it; then Sluice creates "
                    "its own"
                )
        return [
            Correction(self.name, name, existing[name], type_)
            for name, type_ in self._typed(dialect).items()
            if existing.get(name, type_) != type_
        ]

    def _typed(self, dialect: Dialect) -> dict[str, str]:
        """The columns that may be added later."""
        types = {column.name: column.type for column in self.columns} | dict(DELETION)
        return {name: dialect.types[type_] for name, type_ in types.items()}

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


def _own(dialect: Dialect) -> dict[str, str]:
    return {name: dialect.types[type_] for name, type_ in PROVENANCE.items()}


def entity_table(adapter: str, entity: Entity) -> EntityTable:
    return EntityTable(table_name(adapter, entity.name), columns(entity))


def entity_tables(adapter: Adapter) -> dict[str, EntityTable]:
    """By entity."""
    return {name: entity_table(adapter.name, entity) for name, entity in adapter.entities.items()}


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
