"""`sluice status`: the newest runs, or the entities of one."""

import asyncio
from collections.abc import Sequence
from typing import Annotated

import typer

from agents.kinds import SYNC
from service.cli.following import now_ms, snapshot_of
from service.cli.output import AsJson, console, say, show, table
from service.cli.progress import STYLES, note_of
from service.clock import Clock, SystemClock
from service.read_model.progress import BAD, ENDED, EntityView, RunProgress, RunView, Snapshot
from service.read_model.times import moment, short_time, span
from service.settings import read_settings
from service.sinks.migrations import NotPrepared
from service.status import open_status
from service.status.store import StatusStore
from tables.kinds.sync import SyncState
from topics.errors import Rejected

RUNS_SHOWN_MAX = 20  # for people; programs get as many as the store lists
ERRORS_SHOWN_MAX = 5
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
        show([] if run is None else None, as_json, lambda nothing: console.print(NOT_PUBLISHED, soft_wrap=True))


async def find_run(store: StatusStore, name: str, clock: Clock) -> Snapshot:
    """The newest run of this name (a run id, a workflow, a request id); Rejected if there is none."""
    found = await store.runs(SYNC.name, name)
    snapshot = await snapshot_of(store, found[0].run_id, clock) if found else None
    if snapshot is None:
        raise Rejected(
            f"no run has the id, workflow or request {name!r}; `sluice status` shows the newest runs. A request that "
            "was sent just now, or waits in a queue, has no run yet"
        )
    return snapshot


async def _run(name: str) -> RunView:
    clock = SystemClock()
    store = open_status(read_settings(), clock)
    try:
        return RunProgress().view(await find_run(store, name, clock))
    finally:
        await store.close()


async def _runs(is_complete: bool) -> list[RunView]:
    """The newest first; for people one more than is shown, so that the output can say that there are more."""
    clock = SystemClock()
    store = open_status(read_settings(), clock)
    try:
        found = await store.runs(SYNC.name)
        return [await _view(store, one, clock) for one in (found if is_complete else found[: RUNS_SHOWN_MAX + 1])]
    finally:
        await store.close()


async def _view(store: StatusStore, state: SyncState, clock: Clock) -> RunView:
    """An ended run's own record has all figures; of a run in progress its entities are read, too."""
    snapshot = None if state.has_ended else await snapshot_of(store, state.run_id, clock)
    return RunProgress().view(snapshot or Snapshot(clock.monotonic(), now_ms(clock), state, ()))


def _print_runs(runs: Sequence[RunView]) -> None:
    if not runs:
        console.print(NOT_PUBLISHED, soft_wrap=True)
        return
    now = now_ms(SystemClock())
    shown = runs[:RUNS_SHOWN_MAX]
    columns = ["workflow", "started", "status", "#ended", "#records", "#pages", "#took"]
    table("", columns, [_run_cells(run, now) for run in shown])
    if len(runs) > len(shown):
        say("there are older runs: --json shows more, and `sluice status WORKFLOW` the newest of a workflow")
    for run in [run for run in shown if run.last_error][:ERRORS_SHOWN_MAX]:
        say(f"{run.run_id}: {run.last_error}", "red" if run.has_ended else "yellow")


def _run_cells(run: RunView, now: int) -> list[str]:
    ended = sum(run.counts.get(phase, 0) for phase in ENDED)
    return [
        run.workflow,
        short_time(run.started_at, now),
        f"[{STYLES[run.status]}]{run.status}[/]",
        f"{ended}/{len(run.entities)}",
        f"{run.records:,}",
        f"{run.pages:,}",
        span(run.elapsed_seconds),
    ]


def _print_run(run: RunView) -> None:
    now = now_ms(SystemClock())
    say(run.run_id, "bold")
    say(f"  {run.status} for {span(run.elapsed_seconds)}, started {moment(run.started_at, now)}", STYLES[run.status])
    say(f"  {run.records:,} records on {run.pages:,} pages, {run.records_per_second:,.0f} records/s; {_rejected(run)}")
    say(f"  request {run.request}")
    if run.reason:
        say(f"  {run.reason}", "red")
    console.print()
    columns = ["entity", "status", "#pages", "#records", "#took"]
    table("", columns, [_entity_cells(entity, now) for entity in run.entities])
    for entity in run.entities:
        if note := note_of(entity, now):
            say(f"{entity.name}: {note}", "red" if entity.phase in BAD else "yellow")


def _entity_cells(entity: EntityView, now: int) -> list[str]:
    took = span(((entity.ended_at or now) - entity.started_at) / 1000) if entity.started_at else ""
    pages = f"{entity.pages:,}" + (f"/{entity.pages_total:,}" if entity.pages_total is not None else "")
    return [entity.name, f"[{STYLES[entity.phase]}]{entity.phase}[/]", pages, f"{entity.records:,}", took]


def _rejected(run: RunView) -> str:
    return f"{run.rejected:,} records rejected" if run.rejected else "none rejected"
