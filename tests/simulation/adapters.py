"""The two adapters that a history syncs, and what their API has in the beginning."""

from random import Random

from manifests.entity import Adapter, FieldSource
from tests.support.adapters import PAGE, adapter, entity, toy, toy_data

MOST = {"houses": 5, "rooms": 5, "pets": 21, "guests": 5, "logs": 21}


def adapters() -> dict[str, Adapter]:
    return {"toy": toy(is_ordered=True), "minor": _minor()}


def _minor() -> Adapter:
    """A list in no order, one below it, and one with links that are stable."""
    return adapter(
        entity("b.part"),
        entity("b.piece", path="/b/parts/{id}/pieces", under={"entity": "b.part", "column": "part_id"}),
        entity("b.event", paging={"style": "link", "size": PAGE, "stable": "each link names the last record"}),
        name="minor",
    )


def lists(random: Random) -> dict[str, list[str]]:
    """Keys by list, as tests.support.memory.ListSource has them."""
    data = toy_data(**{name: random.randint(0, most) for name, most in MOST.items()})
    data["b.part"] = [f"part{n:02}" for n in range(random.randint(0, 6))]
    for part in data["b.part"]:
        data[f"b.piece/{part}"] = [f"{part}-{n}" for n in range(random.randint(0, 9))]
    data["b.event"] = [f"e{n:02}" for n in range(random.randint(0, 13))]
    return data


def with_column(adapter: Adapter, name: str) -> Adapter:
    """The adapter of the next deployment: each entity has one more column."""
    column = FieldSource.model_validate({"type": "text", "from": name})
    entities = {
        one.name: one.model_copy(update={"fields": {**one.fields, name: column}}) for one in adapter.entities.values()
    }
    return adapter.model_copy(update={"entities": entities})
