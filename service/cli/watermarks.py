"""`sluice watermarks`: until where the changes of each entity are in the database, and where its next delta begins."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from manifests.delta import can_delta
from manifests.loader import load_with
from service.cli import group
from service.cli.output import AsJson, say, show, table
from service.clock import SystemClock
from service.settings import Settings, read_settings
from service.sinks import open_sink
from service.sinks.schema import iso
from topics.errors import Rejected

app = group("Show, set and reset where the next deltas begin.")

Org = Annotated[str, typer.Argument(help="The organisation.")]
EntityName = Annotated[str, typer.Argument(help="An entity that can be read by its changes, such as people.person.")]
AdapterName = Annotated[str, typer.Option(help="The API.")]


@app.command("list")
def list_(
    org: Annotated[str | None, typer.Option(help="Only this organisation's.")] = None, as_json: AsJson = False
) -> None:
    """Show the watermarks: all changes before them are in the database, by the source's clock."""
    found = _asked(read_settings(), "watermarks", org or "")
    names = ("org", "adapter", "entity", "at", "run_id", "set_at", "ignored_at")
    show([dict(zip(names, map(_shown, row), strict=True)) for row in found], as_json, _print)


@app.command("set")
def set_(
    org: Org,
    entity: EntityName,
    at: Annotated[str, typer.Argument(help="A time with its zone, such as 2026-11-30T12:00:00Z.")],
    adapter: AdapterName = "pco",
) -> None:
    """Let the next delta read all changes since this time."""
    settings, clock = read_settings(), SystemClock()
    _check(settings, adapter, entity)
    moment = _moment(at, clock.now())
    _asked(settings, "set_watermark", org, adapter, entity, iso(moment), iso(clock.now()))
    say(f"The next delta of {entity} of {org} reads what changed since {iso(moment)}.")


@app.command()
def reset(org: Org, entity: EntityName, adapter: AdapterName = "pco") -> None:
    """Forget a watermark: the next delta of the entity reads everything."""
    settings = read_settings()
    _check(settings, adapter, entity)
    if not _asked(settings, "reset_watermark", org, adapter, entity):
        raise Rejected(f"{entity} of {org} has no watermark: its next delta reads everything anyway")
    say(f"The next delta of {entity} of {org} reads everything.")


def _check(settings: Settings, adapter: str, entity: str) -> None:
    found = load_with(settings.manifests).entity(adapter, entity)
    if not can_delta(found):
        raise Rejected(f"{adapter} cannot say what changed in {entity}: full syncs read it")


def _moment(text: str, now: datetime) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise Rejected(f"{text!r} is no time with a zone: write it like 2026-11-30T12:00:00Z")
    if moment > now:
        raise Rejected(f"{iso(moment)} is in the future: what changes until then would never be read")
    return moment.astimezone(UTC)


def _asked(settings: Settings, statement: str, *arguments: object) -> Sequence[tuple[Any, ...]]:
    async def ask() -> Sequence[tuple[Any, ...]]:
        sink = open_sink(settings.sink, SystemClock())
        try:
            return await sink.fetch(sink.sql[statement], *arguments)
        finally:
            await sink.close()

    return asyncio.run(ask())


def _shown(value: object) -> object:
    return iso(value) if isinstance(value, datetime) else value


def _print(found: Sequence[dict[str, Any]]) -> None:
    if not found:
        say("No watermark yet: the first sync of an organisation that completes sets them.")
        return
    rows = [[one["org"], one["entity"], f"{one['at'][:19]}Z", _setter(one["run_id"]), _note(one)] for one in found]
    table(["org", "entity", "all changes before", "set by", ""], rows)


def _setter(run_id: str) -> str:
    """The type of the run that set it."""
    return run_id.rpartition("@")[0].rpartition(":")[2] or "a person"


def _note(one: dict[str, Any]) -> str:
    return f"not used at {one['ignored_at'][:19]}Z: the fetcher's log says why" if one["ignored_at"] else ""
