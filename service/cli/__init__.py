"""The command line. Each module holds one group of commands; nothing is imported before it is needed elsewhere."""

import sys

import typer

from service.cli.output import fail
from topics.errors import SluiceError

app = typer.Typer(
    name="sluice",
    help="Keeps your database an exact, live copy of other people's APIs.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Run the command; an error that we know ends in one sentence and exit code 1."""
    try:
        app()
    except SluiceError as error:
        fail(error)
        sys.exit(1)
