"""`sluice nudge`: what a run waits for is asked for now instead of at its deadline."""

import asyncio
from dataclasses import dataclass
from typing import Annotated

import typer

from service.cli.output import AsJson, console, show
from service.cli.status import NOTHING, find_run
from service.clock import SystemClock
from service.kafka.producer import produce
from service.roles import open_status
from service.settings import read_settings
from service.sinks.migrations import NotPrepared
from topics.commands import RetryNow
from topics.errors import Rejected

Run = Annotated[str, typer.Argument(help="A run id, a workflow or a request id; of several runs the newest.")]


@dataclass(frozen=True, slots=True)
class Nudged:
    """The run that was nudged, and the name of the nudge in its timeline."""

    run: str
    request: str


def nudge(run: Run, as_json: AsJson = False) -> None:
    """Ask for everything that a run waits for once more, now: pages that rest after an error, answers not told yet.

    Harmless at any time: what is committed is told again and not fetched again. `sluice explain` shows what it waits
    for, and the nudge in its timeline.
    """
    try:
        nudged = asyncio.run(_nudge(run))
    except NotPrepared:
        raise Rejected(NOTHING) from None
    show(nudged, as_json, lambda one: console.print(f"nudged {one.run} ({one.request})", markup=False))


async def _nudge(name: str) -> Nudged:
    clock, settings = SystemClock(), read_settings()
    store = open_status(settings, clock)
    try:
        state = (await find_run(store, name, clock)).sync
    finally:
        await store.close()
    if state.has_ended:
        raise Rejected(f"{state.run_id} has ended ({state.status}): there is nothing to nudge")
    request = f"nudge-{int(clock.now().timestamp() * 1000)}"
    await produce(settings, clock, [RetryNow(workflow=state.key, request_id=request)], "cli")
    return Nudged(state.run_id, request)
