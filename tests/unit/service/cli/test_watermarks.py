"""`sluice watermarks` on a database of its own."""

import asyncio
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from manifests.loader import load_packaged
from service.cli import app
from service.clock import SystemClock
from service.sinks import open_sink


@pytest.fixture
def database(tmp_path: Path) -> str:
    """One that a fetcher has prepared."""
    url = f"sqlite:///{tmp_path}/sluice.db"

    async def prepare() -> None:
        sink = open_sink(url, SystemClock())
        await sink.prepare(load_packaged().adapter("pco"))
        await sink.close()

    asyncio.run(prepare())
    return url


def called(database: str, *arguments: str) -> Result:
    environment = {"SLUICE_SINK": database, "COLUMNS": "200", "TERMINAL_WIDTH": "200"}
    return CliRunner().invoke(app, ["watermarks", *arguments], env=environment)


def test_a_watermark_is_set_listed_and_reset(database: str) -> None:
    assert "No watermark yet" in called(database, "list").stdout
    said = called(database, "set", "acme", "people.person", "2026-01-05T12:00:00+01:00").stdout
    assert "reads what changed since 2026-01-05T11:00:00" in said
    [found] = json.loads(called(database, "list", "--org", "acme", "--json").stdout)
    assert (found["org"], found["entity"], found["run_id"]) == ("acme", "people.person", "")
    assert "a person" in called(database, "list").stdout
    assert json.loads(called(database, "list", "--org", "other", "--json").stdout) == []
    assert "reads everything" in called(database, "reset", "acme", "people.person").stdout
    assert "No watermark yet" in called(database, "list").stdout


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("set", "acme", "people.person", "yesterday"), "is no time with a zone"),
        (("set", "acme", "people.person", "2026-01-05T12:00:00"), "is no time with a zone"),
        (("set", "acme", "people.person", "2999-01-05T12:00:00Z"), "is in the future"),
        (("set", "acme", "groups.group", "2026-01-05T12:00:00Z"), "cannot say what changed in groups.group"),
        (("reset", "acme", "people.person"), "has no watermark"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_reason(arguments: tuple[str, ...], reason: str, database: str) -> None:
    result = called(database, *arguments)
    assert result.exit_code == 1
    assert reason in str(result.exception)
