"""A kind of workflow that the core has never heard of, on real Kafka: its timers, its child, its action, a crash."""

import json
from itertools import pairwise
from pathlib import Path

import pytest

from service.clock import SystemClock
from service.status import open_status
from tests.counter.kind import COUNTER, WITH_COUNTER
from tests.support.installation import installation
from tests.support.kafka import LiveBroker

pytestmark = pytest.mark.kafka

EVERY_MS = 1_500
COUNT = {"org": "acme", "name": "beans", "target": 3, "every_ms": EVERY_MS, "child": "peas", "request_id": "r1"}


async def test_a_counter_and_its_child_count_to_their_end_while_the_worker_is_killed(
    broker: LiveBroker, tmp_path: Path
) -> None:
    async with installation(broker, tmp_path, None, program="tests.counter", registry=WITH_COUNTER) as made:
        await made.produce("start-counter", json.dumps(COUNT).encode(), json.dumps(COUNT).encode())
        await made.until(lambda runs: any(run.ticks for run in runs), "the first tick", COUNTER.name)
        made.kill("worker")
        made.start("worker")
        runs = await made.until(
            lambda runs: len(runs) == 2 and all(run.status == "done" for run in runs), "the end of both", COUNTER.name
        )
        assert sorted((run.name, len(run.ticks)) for run in runs) == [("beans", 3), ("peas", 3)]
        for run in runs:
            times = (run.started_at, *run.ticks)
            assert all(after - before >= EVERY_MS for before, after in pairwise(times))
        store = open_status(made.settings, SystemClock(), WITH_COUNTER)
        (parent,) = [run for run in runs if run.child]
        accepted = [one for one in await store.timeline(parent.key) if one.request_id == "r1"]
        assert [(one.run_id, one.event) for one in accepted] == [(parent.run_id, "started")]
        assert [child.name for child in await store.children(parent.run_id)] == ["peas"]
        await store.close()
