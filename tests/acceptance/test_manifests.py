"""A type that was corrected in a manifest: its entity alone fails, with the remedy, which works while all run."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from agents.kinds import ENTITY
from manifests.entity import FieldSource
from manifests.loader import load_packaged
from service.clock import SystemClock
from service.settings import child_environment
from service.sinks import open_sink
from tests.support.installation import ROOT, Installation, installation
from tests.support.kafka import LiveBroker

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]

ORGS = ("--org", "acme", "--no-rate-limit", "--people", "80")
EMAIL = "people.email"


async def with_an_older_type(sink_url: str) -> None:
    """The database as a manifest made it in which is_primary was text."""
    adapter = load_packaged().adapter("pco")
    older = FieldSource.model_validate({"type": "text", "from": "attributes.primary"})
    entity = adapter.entities[EMAIL]
    entity = entity.model_copy(update={"fields": {**entity.fields, "is_primary": older}})
    sink = open_sink(sink_url, SystemClock())
    await sink.prepare(adapter.model_copy(update={"entities": {**adapter.entities, EMAIL: entity}}))
    await sink.close()


async def synced(made: Installation, request_id: str) -> tuple[Any, dict[str, str]]:
    """The main run of a request, when it has ended, and the reasons of its entities that failed."""
    start = {"org": "acme", "adapter": "pco", "type": "full", "request_id": request_id}
    await made.produce("start-sync", json.dumps(start).encode())

    def has_ended(runs: Sequence[Any]) -> bool:
        return any(run.request == request_id and run.has_ended for run in runs)

    runs = await made.until(has_ended, f"the end of {request_id}")
    (main,) = (run for run in runs if run.request == request_id)
    entities = [run for run in await made.runs(ENTITY.name) if run.parent_run == main.run]
    return main, {run.entity: run.reason for run in entities if run.status == "failed"}


@pytest.fixture(params=["postgres", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'rows.db'}"
    dsn: str = request.getfixturevalue("postgres_dsn")
    return dsn


async def test_a_corrected_type_fails_its_entity_with_the_remedy_and_applying_it_needs_no_restart(
    broker: LiveBroker, tmp_path: Path, url: str
) -> None:
    """Every fetcher ended at its start, for all organisations and adapters."""
    await with_an_older_type(url)
    async with installation(broker, tmp_path, url, *ORGS) as made:
        main, failed = await synced(made, "first")
        assert (main.status, list(failed)) == ("failed", [EMAIL])
        assert "column is_primary of table pco_people_email is text, and the manifest makes it" in failed[EMAIL]
        assert "Run `sluice manifests apply`" in failed[EMAIL]
        unequal = {entity.entity for entity in await made.compared("acme") if not entity.is_equal}
        assert unequal == {EMAIL}
        command = [sys.executable, "-m", "service", "manifests", "apply", "--yes"]
        environment = child_environment(made.settings)
        done = await asyncio.to_thread(subprocess.run, command, cwd=ROOT, env=environment, capture_output=True)
        assert done.returncode == 0, done.stderr
        main, failed = await synced(made, "second")
        assert (main.status, failed) == ("done", {})
        assert [entity for entity in await made.compared("acme") if not entity.is_equal] == []
