"""The page of topics: what each carries, how it is keyed and kept, and every field of every command."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from agents.kinds import SHIPPED
from service.reference import code, page, prose, table
from topics.catalog import COMMAND_BYTES_MAX, DAY_MS, RECORD_BYTES_MAX, TopicSpec

INTRODUCTION = f"""All topics of Sluice. `sluice topics create` creates and checks them, `sluice topics schema`
prints each command's JSON Schema. A command has at most {COMMAND_BYTES_MAX:,} bytes, a record {RECORD_BYTES_MAX:,}."""

PARTITIONS = """All topics have `SLUICE_PARTITIONS` partitions, for ever. The topics of the control plane and the
journal are read together: the partition of a workflow's commands is that of its record. All workflows of a connection,
and what is fetched for them, have the partition of `ORG/ADAPTER` (murmur2, as Kafka's own clients compute it from a
key). A command of `control` that one workflow sends another of its partition is delivered by the worker itself, without
a message. A command that a client puts on another partition is forwarded by the worker."""

LIMITS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "more than {}",
    "maxLength": "at most {} characters",
    "pattern": "matches `{}`",
}


def topics_page() -> str:
    rows = [
        [code(spec.name), spec.plane, spec.keyed_by, _kept(spec), code(spec.cleanup), spec.meaning]
        for spec in SHIPPED.catalog.topics
    ]
    overview = table(["topic", "plane", "keyed by", "kept", "cleanup", "carries"], rows)
    carrying = [spec for spec in SHIPPED.catalog.topics if SHIPPED.catalog.commands[spec.name]]
    return page("Topics", INTRODUCTION, overview, PARTITIONS, *(part for spec in carrying for part in _section(spec)))


def _kept(spec: TopicSpec) -> str:
    if spec.retention_ms is None:
        return "the newest of each key" if spec.cleanup == "compact" else "for ever"
    days = f"{spec.retention_ms // DAY_MS} days"
    return f"{days}, or {code('SLUICE_DEAD_LETTERS_DAYS')}" if spec.plane == "dead" else days


def _section(spec: TopicSpec) -> Iterator[str]:
    yield f"## {spec.name}"
    yield spec.meaning
    for command in SHIPPED.catalog.commands[spec.name]:
        schema = command.model_json_schema()
        required = schema.get("required", ())
        rows = [
            [code(name), _type(field), "required" if name in required else _default(field)]
            for name, field in schema["properties"].items()
        ]
        yield f"### {command.__name__}"
        yield prose(command)
        yield table(["field", "type", "default"], rows)


def _type(field: Mapping[str, Any]) -> str:
    """A field's JSON Schema in words; the column of defaults shows whether it may be left out."""
    shape = next((each for each in field.get("anyOf", ()) if each.get("type") != "null"), field)
    if "$ref" in shape:
        return f"object: {code(shape['$ref'].rpartition('/')[2])}"
    if "const" in shape:
        return code(json.dumps(shape["const"]))
    if "enum" in shape:
        return " or ".join(code(json.dumps(value)) for value in shape["enum"])
    limits = (words.format(shape[key]) for key, words in LIMITS.items() if key in shape)
    return ", ".join((shape["type"], *limits))


def _default(field: Mapping[str, Any]) -> str:
    value = field.get("default", {})
    return "none" if value is None else code(json.dumps(value))
