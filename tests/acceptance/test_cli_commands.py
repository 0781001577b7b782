"""`sluice start`, `status`, `retry` and `dead-letters` on real Kafka, with real processes behind them."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from service.cli import dead_letters
from service.cli.retry import retry
from service.cli.start import start
from service.cli.status import published, status
from service.clock import SystemClock
from service.settings import child_environment
from tests.support.installation import Installation, installation
from tests.support.kafka import LiveBroker
from topics.codec import ID_HEADER

pytestmark = pytest.mark.kafka

ORGS = ("--org", "acme", "--org", "birch", "--no-rate-limit", "--people", "150")
START = ("start", "pco", "--org", "acme")

app = typer.Typer()
for command in (start, status, retry):
    app.command()(command)
app.add_typer(dead_letters.app, name="dead-letters")


async def run(made: Installation, *arguments: str) -> Result:
    """The command in a thread, for it brings its own event loop."""
    return await asyncio.to_thread(CliRunner().invoke, app, arguments, env=child_environment(made.settings))


async def document(made: Installation, *arguments: str, exit_code: int = 0) -> Any:
    result = await run(made, *arguments, "--json")
    assert result.exit_code == exit_code, (result.output, result.exception)
    return json.loads(result.stdout)


async def test_two_organisations_are_followed_to_their_ends(broker: LiveBroker, tmp_path: Path) -> None:
    async with installation(broker, tmp_path, None, *ORGS) as made:
        result = await run(made, *START, "--org", "birch", "--wait")
        assert result.exit_code == 0, result.output
        assert "acme people.person done: 150 records on 2 pages" in result.stdout
        assert result.stdout.count(": done in ") == 2
        [again] = await document(made, *START, "--request-id", "named", "--wait")
        run_id = again["run"]["run_id"]
        [once_more] = await document(made, *START, "--request-id", "named", "--wait")
        assert (once_more["run"]["run_id"], once_more["run"]["status"]) == (run_id, "done")
        assert (await document(made, "status", "named"))["run_id"] == run_id


async def test_during_a_run_a_start_is_rejected_as_a_dead_letter_and_a_retry_of_one_id_retries_once(
    broker: LiveBroker, tmp_path: Path
) -> None:
    async with installation(broker, tmp_path, None, *ORGS) as made:
        made.kill("fetcher")  # so that the first run is in progress
        [first] = await document(made, *START)
        [second] = await document(made, *START, "--on-conflict", "reject", "--wait", exit_code=1)
        assert "is in progress and the request says on_conflict=reject" in second["problem"]
        listed = await document(made, "dead-letters", "list")
        [letter] = listed["letters"]
        assert (letter["value"], listed["more"], letter["key"]) == (None, 0, first["workflow"])
        shown = await document(made, "dead-letters", "show", letter["origin"])
        assert json.loads(shown["value"])["on_conflict"] == "reject"
        assert ID_HEADER in dict(shown["headers"])
        assert (await run(made, "dead-letters", "show", "start-sync/0/4711")).exit_code == 1
        await made.until(bool, "the run")
        for request in ("one", "one", "two"):
            await document(made, "retry", first["request_id"], "--request-id", request)
        requests: list[str] = []
        async with asyncio.timeout(60), published(made.settings, SystemClock()) as store:
            while "two" not in requests:
                requests = [entry.request_id for entry in await store.timeline(first["workflow"])]
                await asyncio.sleep(0.2)
        assert requests.count("one") == 1


async def test_the_newest_dead_letters_come_first_and_the_others_are_counted(
    broker: LiveBroker, tmp_path: Path
) -> None:
    async with installation(broker, tmp_path, None, *ORGS) as made:
        await made.produce("start-sync", *(b"no command %d" % number for number in range(5)), key=b"one partition")
        async with asyncio.timeout(60):
            while len((await document(made, "dead-letters", "list"))["letters"]) < 5:
                await asyncio.sleep(0.5)
        listed = await document(made, "dead-letters", "list", "--limit", "2")
        assert [letter["origin"].split("/")[2] for letter in listed["letters"]] == ["4", "3"]
        assert listed["more"] == 3
        said = (await run(made, "dead-letters", "list", "--limit", "2")).stdout
        assert "and 3 older ones" in said
