"""The shape of a manifest: an adapter (one API) and its entities. Strict: an unknown field is an error."""

from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, StringConstraints

ENTITY_PATTERN = r"^[a-z][a-z0-9_]{0,30}\.[a-z][a-z0-9_]{0,30}$"
COLUMN_PATTERN = r"^[a-z][a-z0-9_]{0,50}$"
DOTTED_PATTERN = r"^[A-Za-z0-9_]+(\.[A-Za-z0-9_-]+)*$"

EntityName = Annotated[str, StringConstraints(pattern=ENTITY_PATTERN)]
Column = Annotated[str, StringConstraints(pattern=COLUMN_PATTERN)]
Dotted = Annotated[str, StringConstraints(pattern=DOTTED_PATTERN)]
FieldType = Literal["text", "integer", "number", "boolean", "timestamp", "date", "json"]

RESERVED_COLUMNS = frozenset(
    {"org", "id", "raw", "content_hash", "source", "run_id", "page", "fetched_at", "source_updated_at"}
)


class Shape(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FieldSource(Shape):
    """A typed column and the place in a record that it comes from, as a dotted path."""

    type: FieldType
    source: Dotted = Field(alias="from")


class Reference(Shape):
    """A column that holds another entity's key.

    Required: the row makes no sense without the parent, so the parent's entity completes first (a hard dependency).
    Optional: it may dangle and is filled later (a soft dependency: waited for, never blocking).
    """

    entity: EntityName
    source: Dotted = Field(alias="from")
    required: bool = False


class Under(Shape):
    """An entity that the API serves only below its parent: read once per parent row, a hard dependency.

    `column` keeps the parent's key. The path may name any column of the parent's row in braces, its key as {id}.
    """

    entity: EntityName
    column: Column


class OffsetPaging(Shape):
    """Pages by record offset; with a total known, several are read at once."""

    style: Literal["offset"] = "offset"
    size: PositiveInt = 100


class LinkPaging(Shape):
    """Each page names the next one by a link; read one after another."""

    style: Literal["link"]
    size: PositiveInt = 100


class FullRead(Shape):
    """Everything, in an order that does not move while it is read."""

    order: str | None = None
    query: dict[str, str] = {}


class DeltaRead(Shape):
    """What changed since a watermark, as far as the API can tell.

    where-and-order: filtered and ordered by the field. where: filtered, in key order. order: newest first, read down
    to the watermark. append: an append-only log by its creation time.
    """

    by: Literal["where-and-order", "where", "order", "append"]
    field: Dotted


class Reads(Shape):
    full: FullRead = FullRead()
    delta: DeltaRead | None = None


class After(Shape):
    """Dependencies that no reference shows."""

    hard: tuple[EntityName, ...] = ()
    soft: tuple[EntityName, ...] = ()


class Entity(Shape):
    """One kind of record of an API and how it is read."""

    name: EntityName
    title: str = ""
    path: Annotated[str, StringConstraints(pattern=r"^/[A-Za-z0-9_./{}-]+$")]
    key: Annotated[tuple[Dotted, ...], Field(min_length=1)] = ("id",)
    updated_at: Dotted | None = None
    headers: dict[str, str] = {}
    paging: Annotated[OffsetPaging | LinkPaging, Field(discriminator="style")] = OffsetPaging()
    reads: Reads = Reads()
    under: Under | None = None
    fields: dict[Column, FieldSource] = {}
    references: dict[Column, Reference] = {}
    after: After = After()


class RateLimit(Shape):
    """The budget of one connection until the API's own headers say otherwise."""

    requests: PositiveInt
    seconds: PositiveInt
    limit_header: str | None = None
    count_header: str | None = None
    period_header: str | None = None


class Body(Shape):
    """Where things stand in a page of this API, as dotted paths."""

    records: Dotted
    total: Dotted | None = None
    next: Dotted | None = None


class Parameters(Shape):
    """The names of the query parameters that paging and order use."""

    offset: str = "offset"
    size: str = "per_page"
    order: str = "order"


class ColumnSpec(NamedTuple):
    """A typed column of an entity's table. `source` is empty for the parent's key, which no record holds."""

    name: str
    type: FieldType
    source: str


class AdapterFile(Shape):
    """adapter.yaml: what all entities of one API share."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]{0,20}$")]
    title: str
    base_url: Annotated[str, StringConstraints(pattern=r"^https?://")]
    headers: dict[str, str] = {}
    body: Body
    parameters: Parameters = Parameters()
    limit: RateLimit


class Adapter(Shape):
    """An adapter with its entities, by name in sorted order."""

    file: AdapterFile
    entities: dict[EntityName, Entity]

    @property
    def name(self) -> str:
        return self.file.name


def columns(entity: Entity) -> tuple[ColumnSpec, ...]:
    """The typed columns in their order: the parent's key, the references, the fields."""
    parent = (ColumnSpec(entity.under.column, "text", ""),) if entity.under else ()
    references = (ColumnSpec(name, "text", ref.source) for name, ref in entity.references.items())
    fields = (ColumnSpec(name, field.type, field.source) for name, field in entity.fields.items())
    return (*parent, *references, *fields)


def table_name(adapter: str, entity: str) -> str:
    """`pco`, `people.person` -> `pco_people_person`: the table that holds the entity's rows."""
    return f"{adapter}_{entity.replace('.', '_')}"
