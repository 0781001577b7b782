"""`sluice kafka`: the embedded broker of this machine."""

import asyncio

import typer

from service.cli import group
from service.cli.output import AsJson, say, show
from service.clock import SystemClock
from service.dev.kafka import embedded
from service.dev.kafka.embedded import KafkaStatus
from service.settings import read_settings

app = group("Run a Kafka broker on this machine, or check yours.")


@app.command()
def up() -> None:
    """Start the embedded broker; the first time, download it. It keeps running after this command."""
    asyncio.run(embedded.up(read_settings(), say, SystemClock()))


@app.command()
def down() -> None:
    """Stop the embedded broker. Its data are kept."""
    asyncio.run(embedded.down(read_settings(), say, SystemClock()))


@app.command()
def status(as_json: AsJson = False) -> None:
    """Check whether Kafka answers, the embedded one or yours (SLUICE_KAFKA_BOOTSTRAP). Exit code 1: it does not."""
    found = asyncio.run(embedded.status(read_settings()))
    show(found, as_json, _render)
    if found.problem is not None:
        raise typer.Exit(1)


def _render(found: KafkaStatus) -> None:
    name = "embedded Kafka" if found.is_embedded else "Kafka"
    process = f" (process {found.pid})" if found.pid else ""
    if found.problem is None:
        say(f"{name} answers on {found.bootstrap}{process}; {found.topics} topics")
    else:
        say(f"{name} does not answer{process}: {found.problem}")
