"""Single records: how one record of an entity is asked for by its key. Pure.

It is the same reading as that of an entity whose path leads to one record.
"""

from manifests.entity import Entity, Reads, Under, is_one

RECORD = "_record"  # in the path of a child: its own key. No column begins with _


def can_get(entity: Entity) -> bool:
    """Whether a key is what a path needs: one value of the record."""
    return len(entity.key) == 1


def is_got_below(entity: Entity) -> bool:
    """Whether the record's path begins with that of its parent's list."""
    return entity.under is not None and entity.reads.get is None


def single(entity: Entity) -> Entity:
    """The entity as one record of it, asked for below a parent: its own parent, or else the record itself. Call it for
    one that `can_get`."""
    path = entity.reads.get or (f"{entity.path}/{{{RECORD}}}" if entity.under else f"{entity.path}/{{id}}")
    if is_one(entity):
        path = entity.path
    under = entity.under or Under(entity=entity.name, column="record", one=True)
    return entity.model_copy(
        update={"path": path, "under": under.model_copy(update={"one": True}), "reads": Reads(), "updated_at": None}
    )
