"""Hostile pages of one organisation, a command that ends its process, a locked table: all other syncs complete."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from agents.activities.interruptions import INTERRUPTIONS_MAX
from agents.kinds import ENTITY
from service.settings import child_environment
from tables.kinds.entity import EntityState
from tests.support.installation import ROOT, Installation, installation
from tests.support.kafka import LiveBroker

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

GOOD, EVIL = "acme", "evil"
ORGS = ("--org", GOOD, "--org", EVIL, "--no-rate-limit", "--people", "120")
EMAIL, PHONE, TAB = "people.email", "people.phone_number", "people.tab"
EXIT = 72
POISONOUS = f"""if True:
    import os
    from service.api.source import ApiSource
    from service.cli import main
    fetch = ApiSource.fetch
    async def fetch_or_end(self, request):
        if (request.org, request.entity.name) == ("{EVIL}", "{EMAIL}"):
            os._exit({EXIT})
        return await fetch(self, request)
    ApiSource.fetch = fetch_or_end
    main()
"""


async def start_both(made: Installation) -> None:
    for org in (EVIL, GOOD):
        await made.produce("start-sync", json.dumps({"org": org, "adapter": "pco", "type": "full"}).encode())


async def ended(made: Installation) -> dict[str, Any]:
    def have_ended(runs: Sequence[Any]) -> bool:
        return len(runs) == 2 and all(run.has_ended for run in runs)

    runs = {run.org: run for run in await made.until(have_ended, "the end of both runs")}
    assert runs[GOOD].status == "done", runs[GOOD].reason
    assert [entity for entity in await made.compared(GOOD) if not entity.is_equal] == []
    return runs


async def entities(made: Installation, org: str) -> dict[str, EntityState]:
    return {run.entity: run for run in await made.runs(ENTITY.name) if run.org == org}


async def test_pages_that_are_hostile_fail_their_own_entities_and_the_fetcher_lives(
    broker: LiveBroker, tmp_path: Path, postgres_dsn: str
) -> None:
    """31 MB of 2.2 million records held up the loop until the process ended (72); a link of 1.2 MB, its publication."""
    async with installation(broker, tmp_path, postgres_dsn, *ORGS) as made:
        fetcher = made.processes["fetcher"].pid
        for entity, kind in ((EMAIL, "many_records"), (PHONE, "long_link"), (TAB, "links_elsewhere")):
            await made.ask_simulator("faults", {"kind": kind, "org": EVIL, "entity": entity})
        await start_both(made)
        await ended(made)
        found = await entities(made, EVIL)
        assert "more than 10,000 records at data" in found[EMAIL].reason
        assert "link to the next page" in found[PHONE].reason
        assert made.processes["fetcher"].poll() is None
        assert made.processes["fetcher"].pid == fetcher
        failed = {name for name, run in found.items() if run.status == "failed"}
        assert failed <= {EMAIL, PHONE, TAB}, "others of the same organisation failed, too"


async def test_a_command_that_ends_every_fetcher_is_set_aside_with_that_reason(
    broker: LiveBroker, tmp_path: Path, postgres_dsn: str
) -> None:
    async with installation(broker, tmp_path, postgres_dsn, *ORGS) as made:
        made.kill("fetcher")
        supervisor = asyncio.create_task(start_again_and_again(made))
        await start_both(made)
        await ended(made)
        supervisor.cancel()
        found = await entities(made, EVIL)
        assert found[EMAIL].reason.startswith(f"set aside: {INTERRUPTIONS_MAX} times in a row the fetcher ended")
        assert {name for name, run in found.items() if run.status == "failed"} == {EMAIL}
        log = (made.home / "fetcher.log").read_text()
        print(f"the fetcher was started {log.count('fetcher ready')} times")
        assert log.count("fetcher ready") <= INTERRUPTIONS_MAX + 3


async def start_again_and_again(made: Installation) -> None:
    """As a supervisor does."""
    while True:
        process = made.processes.get("fetcher")
        if process is None or process.poll() is not None:
            assert process is None or process.returncode == EXIT
            start_poisonous_fetcher(made)
        await asyncio.sleep(0.1)


def start_poisonous_fetcher(made: Installation) -> None:
    with (made.home / "fetcher.log").open("ab") as log:
        made.processes["fetcher"] = subprocess.Popen(
            [sys.executable, "-c", POISONOUS, "fetcher"],
            cwd=ROOT,
            env=child_environment(made.settings),
            stdout=log,
            stderr=log,
        )


async def prepared(made: Installation) -> None:
    """The fetcher has made its tables."""
    async with asyncio.timeout(60):
        while "fetcher ready" not in (made.home / "fetcher.log").read_text():
            await asyncio.sleep(0.1)


async def test_a_table_that_is_locked_holds_up_its_entity_which_says_why_and_nobody_else(
    broker: LiveBroker, tmp_path: Path, postgres_dsn: str
) -> None:
    async with installation(broker, tmp_path, postgres_dsn, *ORGS) as made:
        await prepared(made)
        other = await asyncpg.connect(postgres_dsn)
        async with other.transaction():
            await other.execute("lock table pco_people_email in access exclusive mode")
            await start_both(made)

            def only_one_waits_and_says_why(runs: Sequence[Any]) -> bool:
                waiting = {(run.org, run.entity): run.error_reason for run in runs if not run.has_ended}
                is_named = all(reason.startswith("pco_people_email is locked in") for reason in waiting.values())
                return len(runs) > 2 * 40 and waiting.keys() == {(GOOD, EMAIL), (EVIL, EMAIL)} and is_named

            runs = await made.until(only_one_waits_and_says_why, "the end of all entities but one", ENTITY.name)
            assert {run.status for run in runs} == {"done", "fetching"}
        await other.close()
        runs = list((await ended(made)).values())
        assert [run.status for run in runs] == ["done", "done"]
