"""`sluice topics`: the Kafka topics, their settings and the schemas of their commands."""

import asyncio
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from agents.kinds import SHIPPED
from service.cli import group
from service.cli.output import AsJson, console, say, show, table
from service.clock import SystemClock
from service.kafka.topics import TopicState, check_topics, ensure_topics, topic_states
from service.settings import read_settings
from topics.catalog import DAY_MS
from topics.errors import Rejected

CATALOG = SHIPPED.catalog

app = group("Create, check and show the Kafka topics.")


@dataclass(frozen=True, slots=True)
class TopicLine:
    """A topic as `sluice topics list` shows it. `partitions` None: missing. `retention_ms` None: for ever."""

    name: str
    plane: str
    keyed_by: str
    partitions: int | None
    retention_ms: int | None
    meaning: str


@app.command()
def create() -> None:
    """Create the topics that are missing, then check all."""
    created = asyncio.run(ensure_topics(read_settings(), SystemClock(), CATALOG))
    for name in created:
        say(f"created {name}")
    say(f"all {len(CATALOG.topics)} topics are as they must be")


@app.command()
def check() -> None:
    """Check that every topic exists and has its settings; change nothing. Exit code 1: one does not."""
    asyncio.run(check_topics(read_settings(), SystemClock(), CATALOG))
    say(f"all {len(CATALOG.topics)} topics are as they must be")


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """Show every topic, its purpose, and its state in the cluster."""
    states = asyncio.run(topic_states(read_settings(), SystemClock(), CATALOG))
    show([_line(state) for state in states], as_json, _render)


@app.command()
def schema(
    topic: Annotated[str | None, typer.Argument(help="One topic only.", show_default=False)] = None,
) -> None:
    """Print the JSON Schema of each command, by topic and by the command's name."""
    show(_schemas() if topic is None else _schemas_of(topic), True, console.print)


def _schemas() -> dict[str, dict[str, Any]]:
    return {name: _schemas_of(name) for name, commands in CATALOG.commands.items() if commands}


def _schemas_of(topic: str) -> dict[str, Any]:
    commands = CATALOG.commands.get(topic)
    if not commands:
        carrying = ", ".join(name for name, some in CATALOG.commands.items() if some)
        raise Rejected(f"no topic {topic!r} carries commands; these do: {carrying}")
    return {command.__name__: command.model_json_schema() for command in commands}


def _line(state: TopicState) -> TopicLine:
    spec = state.spec
    retention = state.config.get("retention.ms")
    kept = int(retention) if retention is not None and spec.cleanup == "delete" else spec.retention_ms
    return TopicLine(spec.name, spec.plane, spec.keyed_by, state.partitions, kept, spec.meaning)


def _render(lines: list[TopicLine]) -> None:
    rows = [[line.name, line.plane, line.keyed_by, _partitions(line), _kept(line), line.meaning] for line in lines]
    table("", ["topic", "plane", "keyed by", "#partitions", "#kept", "meaning"], rows)


def _partitions(line: TopicLine) -> str:
    return "missing" if line.partitions is None else str(line.partitions)


def _kept(line: TopicLine) -> str:
    if line.retention_ms is None or line.retention_ms < 0:  # -1 in Kafka: for ever
        return "for ever"
    return f"{line.retention_ms / DAY_MS:g} d"
