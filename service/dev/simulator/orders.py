"""Orders to the administration of the simulator, as the JSON objects of its requests."""

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

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


def read_order(model: type[M], body: bytes) -> M:
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False, include_context=False)
        found = "; ".join(f"{'.'.join(map(str, p['loc'])) or 'body'}: {p['msg']}" for p in problems)
        raise Rejected(found) from None
