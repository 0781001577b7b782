"""The table of an entity's rows, for any database: its columns, and those that an existing table lacks."""

from collections.abc import Mapping
from dataclasses import dataclass

from manifests.entity import Adapter, ColumnSpec, Entity, FieldType, columns, table_name
from topics.errors import Rejected


@dataclass(frozen=True, slots=True)
class Dialect:
    """Type names of a database, as it reports them itself, so that an existing table can be compared.

    `head` and `tail` are the columns of every table before and after the typed ones: name, type, constraint.
    """

    types: Mapping[FieldType, str]
    head: tuple[tuple[str, str, str], ...]
    tail: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, slots=True)
class EntityTable:
    """An entity's table by its manifest. Names consist of lower-case letters, digits and _ (manifests.entity)."""

    name: str
    columns: tuple[ColumnSpec, ...]

    def create(self, dialect: Dialect) -> str:
        typed = ((column.name, dialect.types[column.type], "") for column in self.columns)
        lines = (f'"{name}" {type_} {more}'.rstrip() for name, type_, more in (*dialect.head, *typed, *dialect.tail))
        return f'create table if not exists "{self.name}" ({", ".join(lines)}, primary key (org, id))'

    def add_column(self, column: ColumnSpec, dialect: Dialect) -> str:
        return f'alter table "{self.name}" add column "{column.name}" {dialect.types[column.type]}'

    def missing(self, existing: Mapping[str, str], dialect: Dialect) -> tuple[ColumnSpec, ...]:
        """The typed columns to add to a table with these columns and types. Rejected if one has another type."""
        for name, type_, _ in (*dialect.head, *dialect.tail):
            if name not in existing:
                raise Rejected(
                    f"table {self.name} exists, but has no column {name}: Sluice did not make it. Rename it; "
                    "then Sluice creates its own"
                )
            self._check(name, existing[name], type_)
        for column in self.columns:
            if column.name in existing:
                self._check(column.name, existing[column.name], dialect.types[column.type])
        return tuple(column for column in self.columns if column.name not in existing)

    def _check(self, column: str, found: str, wanted: str) -> None:
        if found != wanted:
            raise Rejected(
                f"column {column} of table {self.name} is {found}, and the manifest makes it {wanted}. Give the "
                "field another name in the manifest, or change the column's type in the database"
            )


def entity_table(adapter: str, entity: Entity) -> EntityTable:
    return EntityTable(table_name(adapter, entity.name), columns(entity))


def entity_tables(adapter: Adapter) -> tuple[EntityTable, ...]:
    return tuple(entity_table(adapter.name, entity) for entity in adapter.entities.values())
