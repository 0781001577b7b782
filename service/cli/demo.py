"""`sluice demo`: a sync of two simulated organisations, then a comparison row by row."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from service.cli.following import display_for, send_and_follow
from service.cli.output import console, say, table
from service.clock import SystemClock
from service.dev.demo.environment import ADAPTER, ORGANISATIONS, DemoEnvironment, Report
from service.dev.demo.verify import Comparison
from service.lock import single_instance
from service.logs import configure
from service.settings import Settings, read_settings
from topics.kinds.sync import StartSync

PEOPLE = 7_000  # of each organisation: about 42,000 records of each


def demo(
    report: Annotated[Path | None, typer.Option(help="Write the figures to this file as JSON.")] = None,
    people: Annotated[int, typer.Option(min=1, max=100_000, help="Persons in each simulated organisation.")] = PEOPLE,
) -> None:
    """Start everything in an empty home, sync two simulated organisations, and compare the database with the source.

    Rows go to a SQLite file, or to SLUICE_SINK. Exit code 0 only if every row of every entity is equal.
    """
    configure()
    figures = asyncio.run(_run(read_settings(), people))
    if report is not None:
        report.write_bytes(msgspec.json.format(msgspec.json.encode(figures)))
    if not figures.is_equal:
        raise typer.Exit(1)


async def _run(settings: Settings, people: int) -> Report:
    clock = SystemClock()
    async with (
        single_instance(settings.home, "demo", clock),
        DemoEnvironment(settings, people, clock, say) as environment,
    ):
        began = clock.monotonic()
        name = f"demo-{int(clock.now().timestamp())}"
        commands = [
            StartSync(org=org, adapter=ADAPTER, type="full", request_id=f"{name}-{org}") for org in ORGANISATIONS
        ]
        await send_and_follow(environment.settings, clock, commands, display_for(console))
        seconds = clock.monotonic() - began
        say("comparing the database with the source, row by row")
        compared = await environment.compared()
        figures = await environment.report(compared, seconds)
        _show(compared, figures)
        return figures


def _show(compared: Sequence[Comparison], figures: Report) -> None:
    rows = []
    for entity in dict.fromkeys(one.entity for one in compared):
        found = {one.org: one for one in compared if one.entity == entity}
        is_equal = all(one.is_equal for one in found.values())
        verdict = "[green]equal[/]" if is_equal else "[bold red]DIFFERENT[/]"
        rows.append([entity, *(_counts(found[org]) for org in ORGANISATIONS), verdict])
    table(["entity", *(f"#{org}" for org in ORGANISATIONS), "rows"], rows)
    verdict = "equal" if figures.is_equal else "NOT equal"
    say(
        f"{figures.records:,} of {figures.expected:,} records of {figures.organisations} organisations, "
        f"{figures.entities} entities each: database and source are {verdict}"
    )
    say(
        f"{figures.pages:,} pages in {figures.seconds:.1f} s, {figures.records_per_s:,.0f} records/s; "
        f"pages fetched again: {figures.refetched_pages}"
    )


def _counts(one: Comparison) -> str:
    return f"{one.stored:,}" + ("" if one.expected == one.stored else f" of {one.expected:,}")
