"""Imports of the command line: help needs only the names, and reading the status does not import Faust."""

import subprocess
import sys

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


def imported(names: tuple[str, ...], *arguments: str, home: str) -> str:
    script = SCRIPT.format(arguments=arguments, names=names)
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env={"SLUICE_HOME": home}, capture_output=True, text=True, check=True
    )
    return done.stderr.splitlines()[-1]


@pytest.mark.parametrize("arguments", [("status",), ("status", "--json"), ("explain", "--help")])
def test_reading_the_status_imports_no_engine(arguments: tuple[str, ...], tmp_path: object) -> None:
    assert imported(HEAVY, *arguments, home=str(tmp_path)) == "imported:"


def test_help_imports_next_to_nothing(tmp_path: object) -> None:
    assert imported(UNNEEDED_FOR_HELP, "--help", home=str(tmp_path)) == "imported:"


def test_producing_a_command_needs_no_faust(tmp_path: object) -> None:
    assert imported(("faust", "service.dev", "agents.faust"), "start", "--help", home=str(tmp_path)) == "imported:"


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_is_where_it_is_said_to_be_and_says_it_in_one_line(name: str) -> None:
    group = get_command(app)
    assert isinstance(group, TyperGroup)
    assert loaded(name).name == name
    assert "..." not in group.commands[name].get_short_help_str(limit=65)
