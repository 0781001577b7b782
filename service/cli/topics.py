"""`sluice topics`: the Kafka topics, their settings and the schemas of their commands."""

import asyncio
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
    schemas = {
        name: {command.__name__: command.model_json_schema() for command in commands}
        for name, commands in CATALOG.commands.items()
        if commands
    }
    if topic is not None and topic not in schemas:
        raise Rejected(f"no topic {topic!r} carries commands; these do: {', '.join(schemas)}")
    show(schemas if topic is None else schemas[topic], True, console.print)


def _line(state: TopicState) -> dict[str, Any]:
    """`partitions` None: missing. `retention_ms` None: for ever."""
    spec = state.spec
    retention = state.config.get("retention.ms")
    return {
        "name": spec.name,
        "plane": spec.plane,
        "keyed_by": spec.keyed_by,
        "partitions": state.partitions,
        "retention_ms": int(retention) if retention is not None and spec.cleanup == "delete" else spec.retention_ms,
        "meaning": spec.meaning,
    }


def _render(lines: list[dict[str, Any]]) -> None:
    columns = ["topic", "plane", "keyed by", "#partitions", "#kept", "meaning"]
    shown = [line | {"partitions": line["partitions"] or "missing", "retention_ms": _kept(line)} for line in lines]
    table(columns, [[str(value) for value in line.values()] for line in shown])


def _kept(line: dict[str, Any]) -> str:
    kept = line["retention_ms"]
    return "for ever" if kept is None or kept < 0 else f"{kept / DAY_MS:g} d"  # -1 in Kafka: for ever
