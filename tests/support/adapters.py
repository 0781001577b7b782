"""A small adapter of our own: every paging style, every kind of dependency, four records a page."""

from manifests.entity import Adapter, AdapterFile, Entity

PAGE = 4


def entity(name: str, **shape: object) -> Entity:
    paging = {"style": "offset", "size": PAGE}
    return Entity.model_validate({"name": name, "path": f"/{name.replace('.', '/')}", "paging": paging, **shape})


def adapter(*entities: Entity, name: str = "toy") -> Adapter:
    file = AdapterFile.model_validate(
        {
            "name": name,
            "title": "Toy",
            "base_url": "http://127.0.0.1",
            "body": {"records": "data", "next": "next"},
            "limit": {"requests": 100, "seconds": 1},
        }
    )
    return Adapter(file=file, entities={one.name: one for one in sorted(entities, key=lambda one: one.name)})


def toy(is_ordered: bool = False) -> Adapter:
    """house; room stands under house; pet needs house; guest likes pet to be there; log is a chain of pages.

    Ordered: all are listed by their ids, so that each page but the first begins with the last record of the one before.
    """
    order = {"by": [{"type": "text", "from": "id"}], "evidence": "the lists of the tests are sorted"}
    reads = {"full": {"order": order}} if is_ordered else {}
    under = {"entity": "a.house", "column": "house_id"}
    return adapter(
        entity("a.house", reads=reads),
        entity("a.room", path="/a/houses/{id}/rooms", under=under, reads=reads),
        entity("a.pet", references={"house_id": {"entity": "a.house", "from": "house", "required": True}}, reads=reads),
        entity("a.guest", references={"pet_id": {"entity": "a.pet", "from": "pet"}}, reads=reads),
        entity("a.log", paging={"style": "link", "size": PAGE}, reads=reads),
    )


def toy_data(houses: int = 9, rooms: int = 5, pets: int = 13, guests: int = 3, logs: int = 10) -> dict[str, list[str]]:
    data = {
        "a.house": [f"h{n:03}" for n in range(houses)],
        "a.pet": [f"p{n:03}" for n in range(pets)],
        "a.guest": [f"g{n:03}" for n in range(guests)],
        "a.log": [f"l{n:03}" for n in range(logs)],
    }
    for house in data["a.house"]:
        data[f"a.room/{house}"] = [f"{house}-r{n}" for n in range(rooms)]
    return data
