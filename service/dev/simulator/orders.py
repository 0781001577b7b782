"""Orders to the administration of the simulator, as the JSON objects of its requests."""

from datetime import datetime
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError

from service.dev.simulator.config import CLOCK_ERROR_SECONDS_MAX
from service.dev.simulator.rates import BURST_ROWS_MAX
from topics.errors import Rejected

M = TypeVar("M", bound=BaseModel)


class Order(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    org: str


class Insert(Order):
    """A new record; values that are not given are generated. `parent` is the id in its path, if it has a parent."""

    entity: str
    parent: str = ""
    attributes: dict[str, Any] = {}
    relationships: dict[str, str | list[str] | None] = {}


class Edit(Order):
    """A change. `touch` moves updated_at to now, unless the attributes have one (that of a commit that shows late)."""

    entity: str
    id: str
    attributes: dict[str, Any] = {}
    relationships: dict[str, str | list[str] | None] = {}
    touch: bool = True


class Delete(Order):
    entity: str
    id: str


class Merge(Order):
    """Ids of two persons."""

    keep: str
    remove: str


class Burst(Order):
    """Many rows with one time: edits of the first ones by id, or new ones. `at` is that time; now, if not given."""

    entity: str
    rows: Annotated[PositiveInt, Field(le=BURST_ROWS_MAX)]
    insert: bool = False
    at: datetime | None = None


class ClockError(BaseModel):
    """How far the API's clock is ahead, for one organisation or for all: in Date, and in the times of records."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seconds: Annotated[float, Field(ge=-CLOCK_ERROR_SECONDS_MAX, le=CLOCK_ERROR_SECONDS_MAX)]
    org: str | None = None


class Cleared(BaseModel):
    """Which faults are over: those with each of these values; all, if there are none."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str | None = None
    org: str | None = None
    entity: str | None = None


def read_order(model: type[M], body: bytes) -> M:
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False, include_context=False)
        found = "; ".join(f"{'.'.join(map(str, p['loc'])) or 'body'}: {p['msg']}" for p in problems)
        raise Rejected(found) from None
