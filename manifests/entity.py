"""The shape of a manifest: an adapter (one API) and its entities. Strict: an unknown field is an error."""

import re
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, StringConstraints

ENTITY_PATTERN = r"^[a-z][a-z0-9_]{0,30}\.[a-z][a-z0-9_]{0,30}$"
COLUMN_PATTERN = r"^[a-z][a-z0-9_]{0,50}$"
PATH_PATTERN = r"^/[A-Za-z0-9_./{}-]+$"
DOTTED_PATTERN = r"^[A-Za-z0-9_]+(\.[A-Za-z0-9_-]+)*$"
BRACES = re.compile(r"\{([a-z][a-z0-9_]*)\}")  # what a path names
ORGANISATION = "org"  # {org} in a path

EntityName = Annotated[str, StringConstraints(pattern=ENTITY_PATTERN)]
Column = Annotated[str, StringConstraints(pattern=COLUMN_PATTERN)]
Dotted = Annotated[str, StringConstraints(pattern=DOTTED_PATTERN)]
ProductName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,30}$")]
HeaderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]{1,100}$")]
HeaderValue = Annotated[str, StringConstraints(pattern=r"^[\x20-\x7e]{0,1000}$")]
Headers = dict[HeaderName, HeaderValue]
FieldType = Literal["text", "integer", "number", "boolean", "timestamp", "date", "json"]

RESERVED_COLUMNS = frozenset(
    {
        *("org", "id", "raw", "content_hash", "source", "run_id", "page", "fetched_at", "source_updated_at"),
        *("deleted_at", "deleted_by_run", "merged_into"),
    }
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

    `column` keeps the parent's key. The path names columns of the parent's row in braces, its key as {id}. `one`: the
    path leads to a single record instead of a list; null or 404 says that there is none.
    """

    entity: EntityName
    column: Column
    key: bool = Field(
        False, description="Ids are unique only under a parent: its key becomes the first part of the key."
    )
    one: bool = Field(False, description="The path leads to one record, or to none, instead of a list of them.")
    rotation_hours: Annotated[int, Field(ge=1, le=8_760)] = Field(
        24, description="A delta also reads under parents under which nobody has read for so long, some at a time."
    )
    on_delete: Literal["cascade", "keep"] = Field(
        "cascade", description="What becomes of the rows when their parent's row is deleted."
    )


class OffsetPaging(Shape):
    """Pages by record offset; with a total known, several are read at once."""

    style: Literal["offset"] = "offset"
    size: PositiveInt = 100


class LinkPaging(Shape):
    """Each page names the next one by a link; read one after another.

    `stable` says, with its evidence, that the links lead past every record that exists from the first page to the last,
    whatever is inserted or deleted meanwhile. Links with an offset are not stable; name their order instead.
    """

    style: Literal["link"]
    size: PositiveInt = 100
    stable: Annotated[str, StringConstraints(min_length=1, max_length=500)] | None = None


class OrderField(FieldSource):
    """A value that ascends from record to record, or descends."""

    descending: bool = False


class Order(Shape):
    """An order in which the API lists the records, and which never changes: a new record comes last, and none moves.

    Pages of such a list overlap by two records. By that a read proves that it missed nothing, whatever was inserted or
    deleted meanwhile. `by` are the paths whose values ascend, the first one first; together they are unique.
    `parameter` asks the API for the order; without it, the order is the API's own.
    """

    by: Annotated[tuple[OrderField, ...], Field(min_length=1, max_length=4)]
    parameter: str | None = None
    evidence: Annotated[str, StringConstraints(min_length=1, max_length=500)]


class FullRead(Shape):
    """Everything, in the API's own order if `order` is not given: then no read can prove that it is complete."""

    order: Order | None = None
    query: dict[str, str] = {}


class DeltaRead(Shape):
    """Changes since a watermark, as far as the API can report them.

    where-and-order: filtered and ordered by the field. where: filtered, in the order of a full read. order: newest
    first, read down to the watermark. append: so, too, a log whose records never change, by its creation time. `field`
    is a path in a record; the last part of it is the name that the API's parameters know. A watermark stays so many
    seconds behind what is known (`lookback_seconds`): for records that the API shows later than their time says.
    """

    by: Literal["where-and-order", "where", "order", "append"]
    field: Dotted
    lookback_seconds: Annotated[int, Field(ge=0, le=86_400)] = 60

    @property
    def is_filtered(self) -> bool:
        return self.by in ("where", "where-and-order")

    @property
    def parameter(self) -> str:
        return self.field.rpartition(".")[2]


class Reads(Shape):
    full: FullRead = FullRead()
    delta: DeltaRead | None = None
    get: Annotated[str, StringConstraints(pattern=PATH_PATTERN)] | None = Field(
        None, description="The path of a single record, its key as {id}; the default is the list's path with the key."
    )


class Deletes(Shape):
    """How many rows of an organisation a reconciliation may delete by itself: `rows`, or the `ratio` of them if that is
    more. Beyond that a person decides."""

    ratio: Annotated[float, Field(ge=0, le=1)] = 0.05
    rows: Annotated[int, Field(ge=0)] = 50


class After(Shape):
    """Dependencies that no reference shows."""

    hard: tuple[EntityName, ...] = ()
    soft: tuple[EntityName, ...] = ()


class Entity(Shape):
    """One kind of record of an API and how it is read.

    A path may name the organisation in braces, {org}; that of an entity read under a parent also columns of the
    parent's row, its key as {id}.
    """

    name: EntityName = Field(description="product.type, the same as the file's path: product/type.yaml.")
    title: str = Field("", description="What people call these records.")
    path: Annotated[str, StringConstraints(pattern=PATH_PATTERN)] = Field(
        description="The collection's path behind base_url; {org} is the organisation, {id} the parent's key."
    )
    key: Annotated[tuple[Dotted, ...], Field(min_length=1)] = Field(
        ("id",), description="The paths in a record whose values make its key."
    )
    key_type: Literal["text", "integer"] = Field(
        "text",
        description='The type of these values. A record with another one is rejected: 1 and "1" are not one key.',
    )
    updated_at: Dotted | None = Field(None, description="The path of the source's own time of the last change.")
    headers: Headers = Field({}, description="Headers besides those of the adapter and of the product.")
    paging: Annotated[OffsetPaging | LinkPaging, Field(discriminator="style")] = OffsetPaging()
    reads: Reads = Reads()
    deletes: Deletes = Deletes()
    under: Under | None = None
    fields: dict[Column, FieldSource] = Field({}, description="Typed columns of the table, in this order.")
    references: dict[Column, Reference] = Field({}, description="Columns that hold other entities' keys.")
    after: After = After()


class RateLimit(Shape):
    """The budget of one connection until the API's own headers say otherwise."""

    requests: PositiveInt
    seconds: PositiveInt
    limit_header: str | None = None
    count_header: str | None = None
    period_header: str | None = None


class Body(Shape):
    """Places of the parts of a page of this API, as dotted paths."""

    records: Dotted
    total: Dotted | None = None
    next: Dotted | None = None


class Parameters(Shape):
    """The names of the query parameters that paging, order and filters use.

    `since` asks for records whose field, {field}, has a value or a later one; `descending` stands in front of a field
    that descends.
    """

    offset: str = "offset"
    size: str = "per_page"
    order: str = "order"
    since: Annotated[str, StringConstraints(pattern=r"^[^{}]*\{field\}[^{}]*$")] | None = None
    descending: str = "-"


class ColumnSpec(NamedTuple):
    """A typed column of an entity's table. `source` is empty for the parent's key, which no record holds."""

    name: str
    type: FieldType
    source: str


class Product(Shape):
    """A part of an API with its own title and headers; the loader gives the headers to each of its entities."""

    title: str
    headers: Headers = {}


class AdapterFile(Shape):
    """adapter.yaml: what all entities of one API share."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]{0,20}$")] = Field(
        description="The same as the directory's name; the first part of each table's name."
    )
    title: str
    base_url: Annotated[str, StringConstraints(pattern=r"^https?://[^\s/?#]+(/[^\s/?#]+)*$")] = Field(
        description="Scheme, host and what all paths begin with; no slash at the end."
    )
    headers: Headers = Field({}, description="Headers of every request. Credentials are no business of a manifest.")
    body: Body
    parameters: Parameters = Parameters()
    limit: RateLimit
    size_max: PositiveInt | None = Field(None, description="The most records that the API puts on a page.")
    products: dict[ProductName, Product] = Field({}, description="By the first part of the entities' names.")


class Adapter(Shape):
    """An adapter with its entities, by name in sorted order."""

    file: AdapterFile
    entities: dict[EntityName, Entity]

    @property
    def name(self) -> str:
        return self.file.name


def is_key_joined(entity: Entity) -> bool:
    """Whether a row's key has several parts. It is no value of the API then: no path and no reference can name it."""
    return len(entity.key) > 1 or (entity.under is not None and entity.under.key)


def is_one(entity: Entity) -> bool:
    """Whether the API serves a single record, or none, under each parent."""
    return entity.under is not None and entity.under.one


def columns(entity: Entity) -> tuple[ColumnSpec, ...]:
    """The typed columns in their order: the parent's key, the references, the fields."""
    parent = (ColumnSpec(entity.under.column, "text", ""),) if entity.under else ()
    references = (ColumnSpec(name, "text", ref.source) for name, ref in entity.references.items())
    fields = (ColumnSpec(name, field.type, field.source) for name, field in entity.fields.items())
    return (*parent, *references, *fields)


def table_name(adapter: str, entity: str) -> str:
    """`pco`, `people.person` -> `pco_people_person`: the table that holds the entity's rows."""
    return f"{adapter}_{entity.replace('.', '_')}"


def path_columns(entity: Entity) -> tuple[str, ...]:
    """The columns of the parent's row, besides its key, that the entity's path names in braces."""
    return tuple(sorted(set(BRACES.findall(entity.path)) - {"id", ORGANISATION}))
