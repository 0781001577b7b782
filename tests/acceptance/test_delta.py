"""Delta syncs of Planning Center: what changed since the last sync is in the copy, at the cost of what changed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from manifests.delta import can_delta
from manifests.loader import load_packaged
from tests.support.installation import Installation, installation
from tests.support.kafka import LiveBroker
from topics.codec import encode
from topics.kinds.sync import StartSync

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]

ORG = "acme"
ADAPTER = load_packaged().adapter("pco")
DELTAS = sorted(name for name, one in ADAPTER.entities.items() if can_delta(one))
# One entity of each way in which an API can be asked for changes.
FILTERED_AND_ORDERED, FILTERED, NEWEST_FIRST = "people.person", "calendar.event", "services.song"


async def sync(made: Installation, type_: str, number: int) -> Any:
    """The run, done."""
    await made.produce("start-sync", encode(StartSync(org=ORG, adapter="pco", type=type_, request_id=f"no-{number}")))

    def is_over(runs: Any) -> bool:
        return any(run.request == f"no-{number}" and run.has_ended for run in runs)

    run = next(run for run in await made.until(is_over, f"the end of sync {number}") if run.request == f"no-{number}")
    assert run.status == "done", run.reason
    return run


async def ids_of(made: Installation, entity: str) -> list[str]:
    lives = await made.ask_simulator(f"lives?org={ORG}&entity={entity}")
    return sorted(lives["records"], key=int)


async def edit(made: Installation, entity: str, **attributes: str) -> None:
    """The newest record, the oldest, and one between them."""
    ids = await ids_of(made, entity)
    for id in (ids[0], ids[len(ids) // 2], ids[-1]):
        body = {"org": ORG, "entity": entity, "id": id, "attributes": attributes}
        await made.ask_simulator("edit", body)


async def requests_by_entity(made: Installation) -> Mapping[str, int]:
    counters = await made.ask_simulator(f"counters?org={ORG}")
    return {name: one["requests"] for name, one in counters["orgs"][ORG]["entities"].items() if one["requests"]}


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
async def test_what_changed_since_the_last_sync_is_in_the_copy_at_the_cost_of_what_changed(
    broker: LiveBroker, tmp_path: Path, postgres_dsn: str, database: str
) -> None:
    sink = postgres_dsn if database == "postgres" else None
    async with installation(broker, tmp_path, sink, "--org", ORG, "--no-rate-limit", "--people", "350") as made:
        await sync(made, "full", 1)
        await edit(made, FILTERED_AND_ORDERED, first_name="Changed")
        await edit(made, FILTERED, name="Changed")
        await edit(made, NEWEST_FIRST, title="Changed")
        people = await ids_of(made, FILTERED_AND_ORDERED)
        await made.ask_simulator("merge", {"org": ORG, "keep": people[1], "remove": people[2]})
        await made.ask_simulator("counters/reset", {})
        run = await sync(made, "delta", 2)
        cost = await requests_by_entity(made)
        assert set(cost) == set(DELTAS)
        assert max(cost.values()) <= 2
        assert sum(child.records for child in run.children.values()) < 350
        compared = {one.entity: one for one in await made.compared(ORG)}
        for entity in (FILTERED, NEWEST_FIRST, "people.person_merger"):
            assert compared[entity].is_equal, compared[entity]
