"""`sluice retry`: the pending requests of a run, sent now instead of at their deadlines."""

import asyncio
from typing import Annotated

import typer

from agents.kinds import SHIPPED
from service.cli.output import AsJson, say, show
from service.cli.status import RunName, find_run, published
from service.clock import SystemClock
from service.kafka.producer import produce
from service.read_model.times import now_ms
from service.settings import read_settings
from topics.command import RetryNow
from topics.errors import Rejected


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
    retried = asyncio.run(_retry(run, request_id))
    show(retried, as_json, lambda one: say(f"retried {one['run']} (request {one['request']})"))


async def _retry(name: str, request_id: str | None) -> dict[str, str]:
    """The run that was retried, and the request's id in its timeline."""
    clock, settings = SystemClock(), read_settings()
    async with published(settings, clock) as store:
        state = (await find_run(store, name, clock, settings)).sync
    if state.has_ended:
        raise Rejected(f"{state.run_id} has ended ({state.status}): there is nothing to retry")
    request = request_id or f"retry-{now_ms(clock)}"
    await produce(settings, clock, SHIPPED.catalog, [RetryNow(workflow=state.key, request_id=request)], "cli")
    return {"run": state.run_id, "request": request}
