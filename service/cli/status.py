"""`sluice status`: the newest runs, or the entities of one."""

import asyncio
from collections.abc import Sequence
from typing import Annotated

import typer

from service.cli.following import is_unpublished, snapshot_of
from service.cli.output import AsJson, console, show, table
from service.cli.progress import note_of
from service.clock import Clock, SystemClock
from service.roles import open_status
from service.settings import read_settings
from service.status.progress import BAD, EntityView, RunProgress, RunView, Snapshot
from service.status.store import StatusStore
from service.status.times import moment, span, time_of_day
from topics.errors import Rejected

RUNS_SHOWN_MAX = 20  # for people; programs get as many as the store lists
ERRORS_SHOWN_MAX = 5
NOTHING = "nothing was published yet: `sluice dev` runs everything on this machine, `sluice start` begins a sync"

Run = Annotated[
    str | None, typer.Argument(help="A run id, a workflow or a request id; of several runs the newest.", metavar="RUN")
]


def status(run: Run = None, as_json: AsJson = False) -> None:
    """Show the newest runs, or how far each entity of one is."""
    try:
        if run is None:
            show(asyncio.run(_runs(as_json)), as_json, _print_runs)
        else:
            show(asyncio.run(_run(run)), as_json, _print_run)
    except Rejected as error:
        if not is_unpublished(error):
            raise
        show([] if run is None else None, as_json, lambda nothing: console.print(NOTHING, soft_wrap=True))


async def find_run(store: StatusStore, name: str, clock: Clock) -> Snapshot:
    """The newest run that `name` (a run id, a workflow, a request id) means; Rejected if there is none."""
    found = await store.syncs(name)
    snapshot = await snapshot_of(store, found[0].state.run_id, clock) if found else None
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
    """The newest first. Of a run that has ended, its own record tells all; a running one is asked for its entities."""
    clock = SystemClock()
    store = open_status(read_settings(), clock)
    try:
        found = await store.syncs()
        listed = found if is_complete else found[: RUNS_SHOWN_MAX + 1]
        return [await _view(store, one.state.run_id, one.state.has_ended, clock, Snapshot(
            clock.monotonic(), _now_ms(clock), one.state, ())) for one in listed]
    finally:
        await store.close()
