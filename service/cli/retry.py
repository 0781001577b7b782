"""`sluice retry`: the pending requests of a run, sent now instead of at their deadlines."""

import asyncio
from dataclasses import dataclass
from typing import Annotated

import typer

from agents.kinds import SHIPPED
from service.cli.output import AsJson, console, show
from service.cli.status import NOT_PUBLISHED, RunName, find_run
from service.clock import SystemClock
from service.kafka.producer import produce
from service.settings import read_settings
from service.sinks.migrations import NotPrepared
from service.status import open_status
from topics.command import RetryNow
from topics.errors import Rejected


@dataclass(frozen=True, slots=True)
class Retried:
    """The run that was retried, and the request's id in its timeline."""

    run: str
    request: str


def retry(
    run: RunName,
    request_id: Annotated[
        str | None, typer.Option(help="An id of your own. The same one retries a run once. Default: one per call.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Retry at once everything that a run waits for: pages that back off after an error, results not reported yet.

    Safe at any time: committed pages are reported again, not fetched again. `sluice explain` shows what the run waits
    for, and the retry in its timeline.
    """
    try:
        retried = asyncio.run(_retry(run, request_id))
    except NotPrepared:
        raise Rejected(NOT_PUBLISHED) from None
    show(retried, as_json, lambda one: console.print(f"retried {one.run} (request {one.request})", markup=False))


async def _retry(name: str, request_id: str | None) -> Retried:
    clock, settings = SystemClock(), read_settings()
    store = open_status(settings, clock)
    try:
        state = (await find_run(store, name, clock)).sync
    finally:
        await store.close()
    if state.has_ended:
        raise Rejected(f"{state.run_id} has ended ({state.status}): there is nothing to retry")
    request = request_id or f"retry-{int(clock.now().timestamp() * 1000)}"
    command = RetryNow(workflow=state.key, request_id=request)
    await produce(settings, clock, SHIPPED.catalog, [command], "cli")
    return Retried(state.run_id, request)
