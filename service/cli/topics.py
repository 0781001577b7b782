"""`sluice topics`: create the topics, check them, show them and what they carry."""

import asyncio
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from service.cli.output import AsJson, console, show, table
from service.clock import SystemClock
from service.kafka.topics import TopicState, check_topics, ensure_topics, topic_states
from service.settings import read_settings
from topics.catalog import BY_NAME, DAY_MS, TOPICS
from topics.errors import Rejected

app = typer.Typer(help="The Kafka topics: create, check, show.", no_args_is_help=True)


@dataclass(frozen=True, slots=True)
class TopicLine:
    """A topic as `sluice topics list` shows it; `partitions` and `retention_ms` are None: missing, without end."""

    name: str
    plane: str
    keyed_by: str
    partitions: int | None
    retention_ms: int | None
    meaning: str


@app.command()
def create() -> None:
    """Create the topics that are missing, then check all."""
    created = asyncio.run(ensure_topics(read_settings(), SystemClock()))
    for name in created:
        _say(f"created {name}")
    _say(f"all {len(TOPICS)} topics are as they must be")


@app.command()
def check() -> None:
    """Check that every topic is there and as it must be; change nothing. Exit code 1: it is not."""
    asyncio.run(check_topics(read_settings(), SystemClock()))
    _say(f"all {len(TOPICS)} topics are as they must be")


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """Show every topic, what it is for, and how the cluster has it."""
    states = asyncio.run(topic_states(read_settings(), SystemClock()))
    show([_line(state) for state in states], as_json, _render)


@app.command()
def schema(
    topic: Annotated[str | None, typer.Argument(help="One topic only.", show_default=False)] = None,
) -> None:
    """Print the JSON Schema of each command, by topic and by the command's name."""
    show(_schemas() if topic is None else _schemas_of(topic), True, console.print)


def _schemas() -> dict[str, dict[str, Any]]:
    return {spec.name: _schemas_of(spec.name) for spec in TOPICS if spec.commands}


def _schemas_of(topic: str) -> dict[str, Any]:
    spec = BY_NAME.get(topic)
    if spec is None or not spec.commands:
        carrying = ", ".join(spec.name for spec in TOPICS if spec.commands)
        raise Rejected(f"no topic {topic!r} carries commands; these do: {carrying}")
    return {command.__name__: command.model_json_schema() for command in spec.commands}


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
    if line.retention_ms is None or line.retention_ms < 0:  # Kafka's -1: for ever
        return "for ever"
    return f"{line.retention_ms / DAY_MS:g} d"


def _say(line: str) -> None:
    console.print(line, markup=False, soft_wrap=True)
