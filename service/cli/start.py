"""`sluice start`: requests for syncs, followed until their runs end with --wait."""

import asyncio
from collections.abc import Sequence
from typing import Annotated

import typer
from pydantic import ValidationError

from agents.deciders.sync import TYPES_SERVED
from manifests.loader import load_with
from service.cli.following import Followed, Requested, display_for, send, send_and_follow
from service.cli.output import AsJson, console, errors, say, show
from service.cli.progress import note_of
from service.clock import SystemClock
from service.read_model.progress import BAD, RunView
from service.read_model.times import span
from service.settings import read_settings
from topics.errors import Rejected
from topics.kinds.sync import ConflictPolicy, StartSync

NAMES_SHOWN_MAX = 5  # entities that are named beside a problem
ORGS_MAX = 50  # of one call
INTERRUPTED = 130  # a shell's code for Ctrl-C


def start(
    adapter: Annotated[str, typer.Argument(help="Which API: `sluice manifests show` lists them.")],
    org: Annotated[list[str], typer.Option(help="The organisation; may be repeated.")],
    type_: Annotated[str, typer.Option("--type", help="full: read everything. delta: what changed since.")] = "full",
    wait: Annotated[bool, typer.Option("--wait", help="Follow it until its end. Exit code 1: it did not complete.")] = (
        False
    ),
    request_id: Annotated[
        str | None, typer.Option(help="An id of your own. Within a week it runs once for each organisation.")
    ] = None,
    on_conflict: Annotated[
        ConflictPolicy, typer.Option(help="During a run: attach to it, queue behind it, replace it, or be rejected.")
    ] = "ignore",
    as_json: AsJson = False,
) -> None:
    """Request a sync: the database becomes an exact copy of an organisation's data in an API."""
    commands = _commands(adapter, org, type_, request_id, on_conflict)
    settings, clock = read_settings(), SystemClock()
    if not wait:
        show(asyncio.run(send(settings, clock, commands)), as_json, _print_requested)
        return
    announce = (lambda sent: None) if as_json else _print_requested
    try:
        ended = asyncio.run(send_and_follow(settings, clock, commands, display_for(console, as_json), announce))
    except KeyboardInterrupt:
        errors.print("stopped watching; the sync continues: `sluice status` shows it")
        raise typer.Exit(INTERRUPTED) from None
    show(ended, as_json, _print_ended)
    if not all(one.is_done for one in ended):
        raise typer.Exit(1)


def _commands(
    adapter: str, orgs: Sequence[str], type_: str, request_id: str | None, on_conflict: ConflictPolicy
) -> list[StartSync]:
    """The commands. Invalid arguments are a usage error before anything is sent."""
    try:
        load_with(read_settings().manifests).adapter(adapter)
    except Rejected as error:
        raise typer.BadParameter(str(error)) from None
    if type_ not in TYPES_SERVED:
        raise typer.BadParameter(f"there is no type {type_!r}; there are: {', '.join(TYPES_SERVED)}")
    names = list(dict.fromkeys(orgs))
    if len(names) > ORGS_MAX:
        raise typer.BadParameter(f"{len(names)} organisations, at most {ORGS_MAX} in one call: make several calls")
    try:
        return [
            StartSync(org=name, adapter=adapter, type=type_, request_id=request_id, on_conflict=on_conflict)
            for name in names
        ]
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        option = str(problem["loc"][0]).replace("_", "-")
        raise typer.BadParameter(f"--{option} {problem['input']!r}: {problem['msg']}") from None


def _print_requested(sent: Sequence[Requested]) -> None:
    for one in sent:
        say(f"requested {one.org} {one.adapter} {one.type}; its progress: sluice status {one.request_id}")


def _print_ended(ended: Sequence[Followed]) -> None:
    for one in ended:
        if (run := one.run) is None:
            say(f"{one.title}: {one.problem}", "red")
            continue
        figures = f"{run.status} in {span(run.elapsed_seconds)}, {run.records:,} records on {run.pages:,} pages"
        say(f"{run.run_id}: {figures}", "green" if one.is_done else "red")
        for problem, names in by_reason(run).items():
            shown = ", ".join(names[:NAMES_SHOWN_MAX]) + (" …" if len(names) > NAMES_SHOWN_MAX else "")
            say(f"  {names[0]} {problem}" if len(names) == 1 else f"  {len(names)} {problem} ({shown})")


def by_reason(run: RunView) -> dict[str, list[str]]:
    """Each problem once, with the entities that have it."""
    found: dict[str, list[str]] = {}
    for entity in run.entities:
        if entity.phase in BAD:
            found.setdefault(f"{entity.phase}: {note_of(entity, run.ended_at)}", []).append(entity.name)
    return found
