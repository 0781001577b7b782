"""`sluice status`: the newest runs, or the entities of one."""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Annotated

import typer

from agents.kinds import SYNC
from service.cli.output import AsJson, console, say, show, table
from service.cli.progress import STYLES, note_of, pages_of
from service.clock import Clock, SystemClock
from service.read_model.progress import BAD, EntityView, RunProgress, RunView, Snapshot
from service.read_model.times import age, moment, now_ms, short_time, span
from service.settings import Settings, read_settings
from service.sinks.migrations import NotPrepared
from service.status import open_status
from service.status.store import LISTED_MAX, StatusStore
from tables.kinds.entity import EntityState
from tables.kinds.sync import SyncState
from topics.catalog import DAY_MS
from topics.errors import Rejected
from topics.kinds.entity import KEY

RUNS_SHOWN_MAX = 20  # for people; programs get as many as the store lists
ERRORS_SHOWN_MAX = 5
NAMED_MAX = 5  # entities in one sentence
NOT_PUBLISHED = "nothing was published yet: `sluice dev` runs everything on this machine, `sluice start` begins a sync"

RUN_HELP = "A run id, a workflow or a request id; of several runs the newest."
RunName = Annotated[str, typer.Argument(help=RUN_HELP)]
OptionalRunName = Annotated[str | None, typer.Argument(help=RUN_HELP, metavar="RUN")]


def status(run: OptionalRunName = None, as_json: AsJson = False) -> None:
    """Show the newest runs, or the progress of one run's entities."""
    try:
        if run is None:
            show(asyncio.run(_runs(as_json)), as_json, _print_runs)
        else:
            show(asyncio.run(_run(run)), as_json, _print_run)
    except NotPrepared:
        show([] if run is None else None, as_json, lambda nothing: say(NOT_PUBLISHED))


@asynccontextmanager
async def published(settings: Settings, clock: Clock) -> AsyncIterator[StatusStore]:
    """The status tables. NotPrepared: no projector has created them yet."""
    store = open_status(settings, clock)
    try:
        yield store
    except NotPrepared:
        raise NotPrepared(NOT_PUBLISHED) from None
    finally:
        await store.close()


async def find_run(store: StatusStore, name: str, clock: Clock, settings: Settings) -> Snapshot:
    """The newest run of this name (a run id, a workflow, a request id); Rejected if there is none."""
    snapshot = await snapshot_of(store, name, clock)
    if snapshot is None:
        raise Rejected(missing_run(name, now_ms(clock), settings.retention_days))
    return snapshot


def missing_run(name: str, now: int, days: int) -> str:
    """The reason why no run of this name is published. Only a run id says when its run began."""
    number = re.search(r"@([0-9]{1,15})$", name)
    if number is not None and int(number[1]) < now - days * DAY_MS:
        return (
            f"run {name!r} is not published any more: it began {age(int(number[1]), now)}, and ended runs are removed "
            f"after {days} days (SLUICE_RETENTION_DAYS), all but the newest of each workflow"
        )
    return (
        f"no run has the id, workflow or request {name!r}; `sluice status` shows the newest runs. A request that "
        f"was sent just now, or waits in a queue, has no run yet; one older than {days} days may have been removed"
    )


async def snapshot_of(store: StatusStore, name: str, clock: Clock) -> Snapshot | None:
    """The newest run of this name as it is published now; None if there is none."""
    found = await store.runs(SYNC.name, name, 1)
    if not found:
        return None
    missing = (await store.missing()).get(found[0].run_id, ())
    return _snapshot(clock, found[0], await store.children(found[0].run_id), missing)


def _snapshot(clock: Clock, sync: SyncState, entities: Sequence[EntityState], missing: Sequence[str]) -> Snapshot:
    """`missing` are runs of entities."""
    names = tuple(KEY.parse(run.rpartition("@")[0])["entity"] for run in missing)
    return Snapshot(clock.monotonic(), now_ms(clock), sync, tuple(entities), names)


async def _run(name: str) -> RunView:
    clock, settings = SystemClock(), read_settings()
    async with published(settings, clock) as store:
        return RunProgress().view(await find_run(store, name, clock, settings))


async def _runs(is_complete: bool) -> list[RunView]:
    """The newest first; for people one more than is shown, so that the output can say that there are more.

    An ended run's own record has all figures; of a run in progress its entities are read, too.
    """
    clock, views = SystemClock(), []
    async with published(read_settings(), clock) as store:
        missing = await store.missing()
        for sync in await store.runs(SYNC.name, limit=LISTED_MAX if is_complete else RUNS_SHOWN_MAX + 1):
            entities = () if sync.has_ended else await store.children(sync.run_id)
            views.append(RunProgress().view(_snapshot(clock, sync, entities, missing.get(sync.run_id, ()))))
    return views


def _print_runs(runs: Sequence[RunView]) -> None:
    if not runs:
        say(NOT_PUBLISHED)
        return
    now = now_ms(SystemClock())
    shown = runs[:RUNS_SHOWN_MAX]
    columns = ["workflow", "started", "status", "#ended", "#records", "#pages", "#took"]
    table(columns, [_run_cells(run, now) for run in shown])
    if len(runs) > len(shown):
        say("there are older runs: --json shows more, and `sluice status WORKFLOW` the newest of a workflow")
    for run in [run for run in shown if run.last_error][:ERRORS_SHOWN_MAX]:
        say(f"{run.run_id}: {run.last_error}", "red" if run.has_ended else "yellow")
    for run in [run for run in shown if run.missing]:
        say(f"{run.run_id}: {_missing(run)}", "red")


def _run_cells(run: RunView, now: int) -> list[str]:
    return [
        run.workflow,
        short_time(run.started_at, now),
        f"[{STYLES[run.status]}]{run.status}[/]",
        f"{run.ended}/{len(run.entities)}",
        f"{run.records:,}",
        f"{run.pages:,}",
        span(run.elapsed_seconds),
    ]


def _print_run(run: RunView) -> None:
    now = now_ms(SystemClock())
    rejected = f"{run.rejected:,} records rejected" if run.rejected else "none rejected"
    say(run.run_id, "bold")
    say(f"  {run.status} for {span(run.elapsed_seconds)}, started {moment(run.started_at, now)}", STYLES[run.status])
    say(f"  {run.records:,} records on {run.pages:,} pages, {run.records_per_second:,.0f} records/s; {rejected}")
    say(f"  request {run.request}")
    if run.reason:
        say(f"  {run.reason}", "red")
    if run.missing:
        say(f"  {_missing(run)}", "red")
    console.print()
    table(["entity", "status", "#pages", "#records", "#took"], [_entity_cells(entity, now) for entity in run.entities])
    for entity in run.entities:
        if note := note_of(entity, now):
            say(f"{entity.name}: {note}", "red" if entity.phase in BAD else "yellow")


def _missing(run: RunView) -> str:
    more = f" and {len(run.missing) - NAMED_MAX} more" if len(run.missing) > NAMED_MAX else ""
    return (
        f"the database was restored, or lost commits, since: rows of {', '.join(run.missing[:NAMED_MAX])}{more} are "
        "missing until the next full sync. Start one"
    )


def _entity_cells(entity: EntityView, now: int) -> list[str]:
    took = span(((entity.ended_at or now) - entity.started_at) / 1000) if entity.started_at else ""
    status = f"[{STYLES[entity.phase]}]{entity.phase}[/]"
    return [entity.name, status, pages_of(entity), f"{entity.records:,}", took]
