"""The command line. Each module holds one group of commands."""

import sys

import typer

from service.cli import dead_letters, demo, explain, kafka, manifests, retry, run, simulate, start, status, topics
from service.cli.output import fail
from topics.errors import SluiceError

app = typer.Typer(
    name="sluice",
    help="Keeps your database an exact, live copy of other people's APIs.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for command in (
    demo.demo,
    start.start,
    status.status,
    explain.explain,
    retry.nudge,
    run.dev,
    run.worker,
    run.fetcher,
    run.projector,
):
    app.command()(command)
app.add_typer(kafka.app, name="kafka")
app.add_typer(topics.app, name="topics")
app.add_typer(dead_letters.app, name="dead-letters")
app.add_typer(manifests.app, name="manifests")
app.add_typer(simulate.app, name="simulate")


def main() -> None:
    """Run the command; an error that we know ends in one sentence and exit code 1."""
    try:
        app(prog_name="sluice")
    except SluiceError as error:
        fail(error)
        sys.exit(1)
