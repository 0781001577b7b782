"""Imports of the command line: help needs only the names, and reading the status does not import Faust."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from service.cli import COMMANDS, app, loaded
from tests.support.house import ROOT

HEAVY = ("faust", "aiokafka", "service.dev", "service.api", "agents.faust", "asyncpg")
UNNEEDED_FOR_HELP = (*HEAVY, "pydantic", "rich", "asyncio", "msgspec")
SCRIPT = """
import sys
from service.cli import main
sys.argv = ["sluice", *{arguments!r}]
try:
    main()
finally:
    print("imported:", *(name for name in {names!r} if name in sys.modules), file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("unneeded", "arguments"),
    [
        (UNNEEDED_FOR_HELP, ["--help"]),
        (HEAVY, ["status"]),
        (HEAVY, ["status", "--json"]),
        (HEAVY, ["explain", "--help"]),
        (("faust", "service.dev", "agents.faust"), ["start", "--help"]),
    ],
)
def test_a_command_imports_only_what_it_needs(unneeded: tuple[str, ...], arguments: list[str], tmp_path: Path) -> None:
    script = SCRIPT.format(arguments=arguments, names=unneeded)
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={"SLUICE_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr.splitlines()[-1] == "imported:"


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_is_where_it_is_said_to_be_and_says_it_in_one_line(name: str) -> None:
    group = get_command(app)
    assert isinstance(group, TyperGroup)
    assert loaded(name).name == name
    assert "..." not in group.commands[name].get_short_help_str(limit=65)
