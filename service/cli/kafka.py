"""`sluice kafka`: the embedded broker, for a laptop."""

import asyncio

import typer

from service.cli.output import AsJson, console, show
from service.clock import SystemClock
from service.dev.kafka import embedded
from service.dev.kafka.embedded import KafkaStatus
from service.settings import read_settings

app = typer.Typer(help="Run a Kafka broker on this machine, or look at yours.", no_args_is_help=True)


@app.command()
def up() -> None:
    """Start the embedded broker; the first time, fetch it. It runs on when this command has ended."""
    asyncio.run(embedded.up(read_settings(), _say, SystemClock()))


@app.command()
def down() -> None:
    """Stop the embedded broker. Its data stay."""
    asyncio.run(embedded.down(read_settings(), _say, SystemClock()))


@app.command()
def status(as_json: AsJson = False) -> None:
    """Say whether Kafka answers, the embedded one or yours (SLUICE_KAFKA_BOOTSTRAP). Exit code 1: it does not."""
    found = asyncio.run(embedded.status(read_settings()))
    show(found, as_json, _render)
    if found.problem is not None:
        raise typer.Exit(1)


def _render(found: KafkaStatus) -> None:
    whose = "embedded Kafka" if found.is_embedded else "Kafka"
    process = f" (process {found.pid})" if found.pid else ""
    if found.problem is None:
        _say(f"{whose} answers on {found.bootstrap}{process}; {found.topics} topics")
    else:
        _say(f"{whose} does not answer{process}: {found.problem}")


def _say(line: str) -> None:
    console.print(line, markup=False, soft_wrap=True)
