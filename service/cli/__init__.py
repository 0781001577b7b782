"""Command line of Sluice. Each module holds one group of commands and is imported when one of them is called."""

import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from topics.errors import SluiceError

# By name: the module, and the line of `sluice --help`.
COMMANDS: Mapping[str, tuple[str, str]] = {
    "demo": ("demo", "Sync two simulated organisations and compare every row."),
    "start": ("start", "Request a sync, and follow it with --wait."),
    "status": ("status", "Show the newest runs, or the progress of one run's entities."),
    "explain": ("explain", "Explain what a run waits for and what happens next."),
    "retry": ("retry", "Retry at once everything that a run waits for."),
    "dev": ("run", "Run everything on this machine."),
    "worker": ("run", "Run a worker: keep the state of workflows, lease pages."),
    "fetcher": ("run", "Run a fetcher: read pages, write them to the database."),
    "projector": ("run", "Run a projector: publish every workflow's state as tables."),
    "kafka": ("kafka", "Run a Kafka broker on this machine, or check yours."),
    "topics": ("topics", "Create, check and show the Kafka topics."),
    "dead-letters": ("dead_letters", "List and show messages that can never be handled."),
    "watermarks": ("watermarks", "Show, set and reset where the next deltas begin."),
    "manifests": ("manifests", "Show, check and apply the APIs and entities that Sluice knows."),
    "simulate": ("simulate", "Run a simulated API on this machine."),
}


class Commands(TyperGroup):
    """The commands by name, each imported when it is called: `--help` and completion need only the names."""

    def __init__(self, **more: Any) -> None:
        super().__init__(
            **{**more, "commands": {name: TyperCommand(name, help=text) for name, (_, text) in COMMANDS.items()}}
        )

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        return name, command and loaded(str(command.name)), rest


def group(help_text: str) -> typer.Typer:
    """A group without commands yet. Its help is plain text, as that of the whole command line."""
    return typer.Typer(help=help_text, no_args_is_help=True, rich_markup_mode=None, add_completion=False)


def loaded(name: str) -> Any:
    """The command, or the group of commands, of this name."""
    module, _ = COMMANDS[name]
    found = import_module(f"service.cli.{module}")
    source = getattr(found, "app", None)
    if source is None:
        source = group("")
        source.command(name)(getattr(found, name))
    command = get_command(source)
    command.name = name
    return command


app = typer.Typer(
    name="sluice", cls=Commands, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False
)


@app.callback()
def sluice() -> None:
    """Keeps your database an exact, live copy of other people's APIs."""


def main() -> None:
    """Run the command. A SluiceError becomes one sentence on stderr and exit code 1."""
    try:
        app(prog_name="sluice")
    except SluiceError as error:
        from service.cli.output import fail  # imports rich, which `--help` does not need

        fail(error)
        sys.exit(1)
