"""Selections of records that are written while they are read."""

from datetime import UTC, datetime
from random import Random

import pytest

from service.dev.simulator.catalog import ENTITIES
from service.dev.simulator.query import Query, select
from service.dev.simulator.store import Organisation
from service.dev.simulator.writes import Writes

PERSON = ENTITIES["people.person"]
QUERIES = (
    "",
    "order=created_at",
    "order=-updated_at",
    "order=-grade,last_name",
    "where[status]=active",
    "where[last_name]=S%25&order=-last_name",
)


@pytest.mark.parametrize("text", QUERIES)
def test_a_selection_that_is_kept_is_at_any_time_what_a_new_one_would_be(text: str) -> None:
    org, random, query = Organisation("acme", 1, 120), Random(text), Query.parse(text)
    kept = select(org, PERSON, query, "", org.records(PERSON.name).values())
    for _ in range(150):
        write(org, random)
        new = select(org, PERSON, query, "not kept", org.records(PERSON.name).values())
        assert list(kept) == list(new)
    assert select(org, PERSON, query, "", ()) is kept


def write(org: Organisation, random: Random) -> None:
    writes = Writes(org, datetime(2026, 6, 1, tzinfo=UTC))
    id = random.choice(list(org.records(PERSON.name)))
    match random.randrange(3):
        case 0:
            writes.insert(PERSON, "", {}, {})
        case 1:
            writes.remove(PERSON, id)
        case _:
            changes = {"grade": random.choice((None, 3, 9)), "status": random.choice(("active", "inactive"))}
            changes["last_name"] = random.choice(("Smith", "Ångström", "Sólveigsdóttir"))
            writes.edit(PERSON, id, changes, {}, is_touched=random.random() < 0.5)
