"""`sluice manifests`: the adapters and entities that can be synced, their dependencies, a check of their files, and
changed types of columns applied to the database.
"""

import asyncio
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from manifests.entity import Adapter, columns, table_name
from manifests.graph import Dependencies, children, plan
from manifests.loader import load, load_packaged, load_with
from manifests.schema import adapter_schema, entity_schema
from service.cli import group
from service.cli.output import AsJson, console, fail, say, show, table
from service.clock import SystemClock
from service.settings import read_settings
from service.sinks import open_sink
from service.sinks.schema import Correction
from service.sinks.sink import SqlSink
from topics.errors import Rejected, Retryable, SluiceError

app = group("Show, check and apply the APIs and entities that Sluice knows.")

ANEW = """These columns are made anew, without values; everything else stays. The next full sync of each organisation
fills them. Indexes of yours on them are dropped with them."""

Plan = Mapping[str, Dependencies]


@app.command()
def check(
    path: Annotated[Path | None, typer.Argument(help="A directory of adapters; without it, those of Sluice.")] = None,
    as_json: AsJson = False,
) -> None:
    """Check every file. The first invalid one ends the check with its name, line and reason."""
    catalog = load(path) if path else load_packaged()
    show([_summary(adapter) for adapter in catalog.adapters.values()], as_json, _print_checked)


@app.command("show")
def show_(
    adapter: Annotated[str | None, typer.Argument(help="One API; without it, all of them.")] = None,
    entity: Annotated[str | None, typer.Argument(help="One of its entities, in full.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show the adapters, the entities of one, or everything about one entity."""
    catalog = load_packaged()
    if adapter is None:
        show([_summary(each) for each in catalog.adapters.values()], as_json, _print_adapters)
    elif entity is None:
        found = catalog.adapter(adapter)
        dependencies = plan(found)
        show([_facts(found, name, dependencies) for name in found.entities], as_json, _print_entities)
    else:
        name = catalog.entity(adapter, entity).name
        found = catalog.adapter(adapter)
        show(_facts(found, name, plan(found)), as_json, _print_entity)


@app.command()
def graph(
    adapter: Annotated[str, typer.Argument(help="One API.")] = "pco",
    as_json: AsJson = False,
    as_dot: Annotated[bool, typer.Option("--dot", help="Print the graph for Graphviz.")] = False,
) -> None:
    """Show the entities level by level, each with its dependencies. Hard ones are on lower levels."""
    if as_json and as_dot:
        raise typer.BadParameter("--json and --dot exclude each other: give one of them")
    found = plan(load_packaged().adapter(adapter))
    if as_dot:
        typer.echo("\n".join(_dot(adapter, found)))
    else:
        show(found, as_json, _print_levels)


@app.command()
def schema(of: Annotated[Literal["entity", "adapter"], typer.Argument(help="Which kind of file.")] = "entity") -> None:
    """Print the JSON Schema that editors check manifests with."""
    typer.echo(entity_schema() if of == "entity" else adapter_schema(), nl=False)


@app.command()
def apply(is_agreed: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False) -> None:
    """Give the columns in the database the types that the manifests say, after asking.

    Tables and columns that are missing are made by a fetcher when it starts. It does not touch a column of another
    type: that entity fails, with this command as the remedy, and all others are synced. A fetcher that runs with these
    manifests needs no restart.
    """
    settings = read_settings()
    asyncio.run(_apply(settings.sink, load_with(settings.manifests).adapters.values(), is_agreed))


async def _apply(url: str, adapters: Collection[Adapter], is_agreed: bool) -> None:
    sink = open_sink(url, SystemClock())
    try:
        found = [one for adapter in adapters for one in await sink.corrections(adapter)]
        for one in found:
            say(f"{one.table}: {one.column} is {one.existing}, and becomes {one.type}")
        if found:
            say(ANEW)
            if not is_agreed:
                typer.confirm("Make them anew?", abort=True)
        failures = await _correct(sink, found)
        for adapter in adapters:
            problems = await sink.prepare(adapter)
            failures = {table_name(adapter.name, entity): reason for entity, reason in problems.items()} | failures
    finally:
        await sink.close()
    for reason in failures.values():
        fail(reason)
    if failures:
        raise typer.Exit(1)
    say("All tables are as the manifests say.")


async def _correct(sink: SqlSink, found: Sequence[Correction]) -> dict[str, SluiceError]:
    """Each column in a transaction of its own. What went wrong, by table."""
    failures: dict[str, SluiceError] = {}
    for one in found:
        try:
            await sink.correct(one)
        except (Rejected, Retryable) as error:
            failures[one.table] = error
    return failures


def _summary(adapter: Adapter) -> dict[str, Any]:
    levels = [found.level for found in plan(adapter).values()]
    return {
        "adapter": adapter.name,
        "title": adapter.file.title,
        "base_url": adapter.file.base_url,
        "entities": len(adapter.entities),
        "under_a_parent": sum(entity.under is not None for entity in adapter.entities.values()),
        "levels": max(levels) + 1,
    }


def _facts(adapter: Adapter, name: str, found: Plan) -> dict[str, Any]:
    entity = adapter.entities[name]
    return {
        **entity.model_dump(mode="json", by_alias=True),
        "headers": {**adapter.file.headers, **entity.headers},
        **asdict(found[name]),
        "children": children(adapter, name),
        "table": table_name(adapter.name, name),
        "columns": [column._asdict() for column in columns(entity)],
    }


def _print_checked(adapters: list[dict[str, Any]]) -> None:
    _print_adapters(adapters)
    say(f"All {sum(1 + each['entities'] for each in adapters)} files are valid.")


def _print_adapters(adapters: list[dict[str, Any]]) -> None:
    rows = [[str(value) for name, value in each.items() if name != "base_url"] for each in adapters]
    table(["adapter", "title", "#entities", "#under a parent", "#levels"], rows)


def _print_entities(entities: list[dict[str, Any]]) -> None:
    rows = [
        [each["name"], str(each["level"]), each["under"]["entity"] if each["under"] else "", _delta(each).split(" ")[0]]
        for each in entities
    ]
    table(["entity", "#level", "read under", "delta by"], rows)


def _print_entity(facts: dict[str, Any]) -> None:
    full, under = facts["reads"]["full"], facts["under"]
    lines = {
        "title": facts["title"],
        "path": facts["path"],
        "headers": _pairs(facts["headers"]),
        "key": " ".join(facts["key"]),
        "updated at": facts["updated_at"],
        "paging": _paging(facts),
        "full read": f"{full['order'] or ''} {_pairs(full['query'])}".strip(),
        "delta by": _delta(facts),
        "read under": f"{under['entity']}, kept in {under['column']}{_in_key(under)}" if under else "",
        "level": str(facts["level"]),
        **{name: " ".join(facts[name]) for name in ("children", "hard", "soft", "dangling")},
        "table": facts["table"],
    }
    say(facts["name"], "bold")
    for label, value in lines.items():
        say(f"  {label:<11} {value or '-'}")
    console.print()
    table(["column", "type", "from"], [[each["name"], each["type"], _origin(facts, each)] for each in facts["columns"]])


def _paging(facts: dict[str, Any]) -> str:
    if facts["under"] and facts["under"]["one"]:
        return "a single record"
    return f"{facts['paging']['style']}, {facts['paging']['size']} records a page"


def _in_key(under: dict[str, Any]) -> str:
    return " and in the key" if under["key"] else ""


def _origin(facts: dict[str, Any], column: dict[str, str]) -> str:
    reference = facts["references"].get(column["name"])
    if reference:
        return f"{column['source']} = {reference['entity']}{' (required)' if reference['required'] else ''}"
    return column["source"] or f"the parent's key = {facts['under']['entity']}"


def _delta(facts: dict[str, Any]) -> str:
    delta = facts["reads"]["delta"]
    return f"{delta['by']} {delta['field']}" if delta else "-"


def _pairs(values: dict[str, str]) -> str:
    return " ".join(f"{name}={value}" for name, value in values.items())


def _print_levels(found: Plan) -> None:
    width = max(len(name) for name in found)
    for level in range(max(each.level for each in found.values()) + 1):
        say(f"level {level}", "bold")
        for name, each in found.items():
            needs = (*each.hard, *(f"({one})" for one in each.soft), *(f"[{one}]" for one in each.dangling))
            if each.level == level:
                say(f"  {name:<{width}}  {' '.join(needs)}".rstrip())


def _dot(adapter: str, found: Plan) -> Iterator[str]:
    """Arrows point from an entity to its dependencies: solid hard, dashed soft, dotted dangling."""
    yield f'digraph "{adapter}" {{'
    yield "  rankdir=RL; node [shape=box];"
    for name, each in found.items():
        yield f'  "{name}";'
        for style, targets in (("solid", each.hard), ("dashed", each.soft), ("dotted", each.dangling)):
            yield from (f'  "{name}" -> "{target}" [style={style}];' for target in targets)
    yield "}"
