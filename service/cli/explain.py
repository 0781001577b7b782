"""`sluice explain`: what a run waits for, since when, and what happens next."""

import asyncio
from collections.abc import Mapping

from manifests.loader import load_with
from service.cli.output import AsJson, console, say, show
from service.cli.progress import STYLES
from service.cli.status import RunName, find_run, published
from service.clock import SystemClock
from service.read_model.explain import EntityReason, Explanation, timeline_workflows
from service.read_model.explain import explain as explained
from service.read_model.times import age, moment, now_ms, time_of_day
from service.settings import Settings, read_settings

TIMELINES_MAX = 12  # workflows whose timelines are read for one explanation


def explain(run: RunName, as_json: AsJson = False) -> None:
    """Explain a run: what each entity waits for, what happens next and when, which errors there were."""
    show(asyncio.run(_explanation(run)), as_json, _print)


async def _explanation(name: str) -> Explanation:
    clock, settings = SystemClock(), read_settings()
    async with published(settings, clock) as store:
        snapshot = await find_run(store, name, clock, settings)
        workflows = timeline_workflows(snapshot.sync, snapshot.entities, TIMELINES_MAX)
        timelines = {workflow: await store.timeline(workflow) for workflow in workflows}
    read_under = _read_under(settings, snapshot.sync.adapter)
    return explained(snapshot.sync, snapshot.entities, timelines, read_under, snapshot.now)


def _read_under(settings: Settings, adapter: str) -> Mapping[str, str]:
    """The parent of each entity that is read per row of another one; empty if the adapter is no longer known."""
    known = load_with(settings.manifests).adapters.get(adapter)
    return {name: one.under.entity for name, one in known.entities.items() if one.under} if known else {}


def _print(found: Explanation) -> None:
    now = now_ms(SystemClock())
    say(f"{found.run_id} {found.sentence}", "bold")
    say(f"  started {moment(found.started_at, now)} by request {found.request}")
    if found.ended_at:
        say(f"  ended {moment(found.ended_at, now)}")
    if found.next:
        say(f"  next: {found.next}{_when(found.next_at, now)}")
    for request in found.queued:
        say(f"  queued behind it: request {request}")
    for reason in found.entities:
        _print_reason(reason, now)
    if found.timeline:
        say("\nlatest events", "bold")
    for entry in found.timeline:
        subject = f"{entry.entity}: " if entry.entity else ""
        say(f"  {time_of_day(entry.at, now)}  {age(entry.at, now):>14}  {subject}{entry.event}")


def _print_reason(reason: EntityReason, now: int) -> None:
    console.print()
    console.print(f"{reason.entity}  [{STYLES[reason.phase]}]{reason.phase}[/]  since {moment(reason.since, now)}")
    if reason.waits:
        say(f"  {reason.waits}")
    if reason.next:
        say(f"  next: {reason.next}{_when(reason.next_at, now)}")
    if reason.error:
        say(f"  reason: {reason.error}", "red")


def _when(at: int, now: int) -> str:
    return f", {moment(at, now)}" if at else ""
