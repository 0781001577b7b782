"""The whole checker on a whole installation: clean when all is well, and not when something was changed afterwards."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import asyncpg
import httpx
import pytest

from tests.checker.audit import install
from tests.support.installation import ROOT, Installation, installation
from tests.support.kafka import LiveBroker

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]

ORGS = ("--org", "acme", "--no-rate-limit", "--people", "60")
TRIES_MAX = 10
START = {"org": "acme", "adapter": "pco", "type": "full"}
REJECTED = """insert into rejected_records
    select org, 'pco', 'people.email', id, '', split_part(run_id, '@', 1) || '@1', '', 1, 'why', '{}', now()
    from pco_people_email limit 1"""
TAMPERED = {
    "rows-equal-the-source": "update pco_people_person set first_name = 'Nobody'",
    "runs-miss-no-record": "delete from pco_people_email where id in (select max(id) from pco_people_email)",
    "proofs-count-their-pages": "update sluice_runs set proof = proof || '{\"pages\": 99}'",
    "pages-are-committed-once": "update sluice_runs set records = records + 1",
    "runs-write-while-open": "insert into sluice_pages select run_id, '', 99, 1, 0, true, null, now() from sluice_runs",
    "published-is-the-journal": "update sluice_workflow_runs set status = 'failed'",
    "timeline-is-the-journal": "update sluice_timeline set request_id = 'else' where request_id <> ''",
}


async def test_a_sync_that_went_well_is_clean_and_what_is_changed_afterwards_is_found(
    broker: LiveBroker, tmp_path: Path, postgres_dsn: str
) -> None:
    async with installation(broker, tmp_path, postgres_dsn, *ORGS) as made:
        await install(postgres_dsn)
        await made.produce("start-sync", json.dumps(START).encode(), b"start acme please")
        await made.until(lambda syncs: any(sync.has_ended for sync in syncs), "the end of the run")
        assert await settled(made, tmp_path) == {}
        await let_emails_die(made)
        assert verdict(made, tmp_path) == {}
        connection = await asyncpg.connect(postgres_dsn)
        for tampering in (*TAMPERED.values(), REJECTED):
            await connection.execute(tampering)
        await connection.close()
        found = verdict(made, tmp_path)
        assert TAMPERED.keys() <= found.keys()
        assert any("is still listed as rejected" in fault for fault in found["rows-equal-the-source"])


async def let_emails_die(made: Installation) -> None:
    """Some; what has pointed at them points at nothing, so that nothing else changes."""
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{made.simulator_port}/_sim/") as client:
        order = {"org": "acme", "entity": "people.email", "deletes_per_second": 100}
        (await client.post("move", json=order)).raise_for_status()
        await asyncio.sleep(0.1)
        stopped = (await client.post("move/stop")).raise_for_status().json()
    assert stopped["orgs"]["acme"]["people.email"]["delete"]


async def settled(made: Installation, home: Path) -> dict[str, list[str]]:
    """The verdict, once the projector has had time to read the last records."""
    for _ in range(TRIES_MAX):
        if not (found := verdict(made, home)):
            break
        await asyncio.sleep(1)
    return found


def verdict(made: Installation, home: Path) -> dict[str, list[str]]:
    """The violations by invariant; the exit code says the same."""
    report = home / "report.json"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tests.checker", "check", "--bootstrap", made.broker.bootstrap),
            *("--dsn", made.settings.sink, "--simulator", f"http://127.0.0.1:{made.simulator_port}"),
            *("--orgs", "acme", "--journal", str(made.journal), "--tables", str(home), "--report", str(report)),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    found = {one["name"]: one["violations"] for one in json.loads(report.read_text())["invariants"]}
    assert json.loads(report.read_text())["is_clean"] == (done.returncode == 0)
    return {name: sentences for name, sentences in found.items() if sentences}
