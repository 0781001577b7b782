"""`sluice start`: requests for syncs, followed until their runs end with --wait."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Annotated, Protocol

import typer
from pydantic import ValidationError

from agents.deciders.sync import TYPES_SERVED
from agents.kinds import SHIPPED
from manifests.loader import load_with
from service.cli.following import Followed, NeverRuns, display_for, follow, now_ms
from service.cli.output import AsJson, console, errors, say, show
from service.cli.progress import note_of
from service.clock import Clock, SystemClock
from service.kafka.dead_letters import StoredDeadLetter, open_dead_letters
from service.kafka.producer import RecordPosition, produce
from service.read_model.progress import BAD, RunView
from service.read_model.times import span
from service.settings import Settings, read_settings
from service.status import open_status
from service.status.store import StatusStore
from topics.catalog import MESSAGE_RETENTION_MS
from topics.errors import Rejected
from topics.kinds.sync import ConflictPolicy, StartSync

NAMES_SHOWN_MAX = 5  # entities that are named beside a problem
ORGS_MAX = 50  # of one call
SENT_BY = "cli"
INTERRUPTED = 130  # a shell's code for Ctrl-C


@dataclass(frozen=True, slots=True)
class Requested:
    """A request that was sent: its sync, its id, its position in Kafka."""

    org: str
    adapter: str
    type: str
    workflow: str
    request_id: str
    position: RecordPosition


class NewDeadLetters(Protocol):
    """Each new dead letter once, some time after it was stored."""

    async def new(self) -> Sequence[StoredDeadLetter]: ...


class Rejections:
    """Reasons of requests that were rejected after they were sent, by their positions in Kafka."""

    def __init__(self, reader: NewDeadLetters) -> None:
        self._reader = reader
        self._reasons: dict[tuple[str, int, int], str] = {}

    async def reason(self, position: RecordPosition) -> str | None:
        for stored in await self._reader.new():
            if stored.letter.topic == StartSync.topic:
                self._reasons[stored.origin] = stored.letter.reason
        return self._reasons.get((position.topic, position.partition, position.offset))


class Request:
    """A request that was sent: finds the run that it led to, or the reason why there will be none."""

    def __init__(self, requested: Requested, rejections: Rejections, clock: Clock) -> None:
        self._requested = requested
        self._rejections = rejections
        self._clock = clock
        self._event = ""

    @property
    def title(self) -> str:
        return f"{self._requested.org}  {self._requested.adapter} {self._requested.type}"

    @property
    def state(self) -> str:
        return self._event or "requested, not accepted yet"

    @property
    def is_accepted(self) -> bool:
        return bool(self._event)

    async def find(self, store: StatusStore) -> str | None:
        """The run that the request started or was attached to. Entries older than the workers' request logs do not
        count: their ids may have been used again."""
        reason = await self._rejections.reason(self._requested.position)
        if reason is not None:
            raise NeverRuns(f"rejected: {reason}")
        oldest = now_ms(self._clock) - MESSAGE_RETENTION_MS
        for entry in await store.timeline(self._requested.workflow):
            if entry.request_id == self._requested.request_id and entry.at.timestamp() * 1000 >= oldest:
                self._event = entry.event
                return entry.run_id or None
        return None


def start(
    adapter: Annotated[str, typer.Argument(help="Which API: `sluice manifests show` lists them.")],
    org: Annotated[list[str], typer.Option(help="The organisation; may be repeated.")],
    type_: Annotated[str, typer.Option("--type", help="full: read everything.")] = "full",
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
        show(asyncio.run(_send(settings, clock, commands)), as_json, _print_requested)
        return
    try:
        ended = asyncio.run(_send_and_follow(settings, clock, commands, as_json))
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
    return [_command(adapter, org, type_, request_id, on_conflict) for org in names]


def _command(adapter: str, org: str, type_: str, request_id: str | None, on_conflict: ConflictPolicy) -> StartSync:
    try:
        return StartSync(org=org, adapter=adapter, type=type_, request_id=request_id, on_conflict=on_conflict)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        option = str(problem["loc"][0]).replace("_", "-")
        raise typer.BadParameter(f"--{option} {problem['input']!r}: {problem['msg']}") from None


async def _send(settings: Settings, clock: Clock, commands: Sequence[StartSync]) -> list[Requested]:
    positions = await produce(settings, clock, SHIPPED.catalog, commands, SENT_BY)
    return [requested(command, position) for command, position in zip(commands, positions, strict=True)]


def requested(command: StartSync, position: RecordPosition) -> Requested:
    """A request without an id is named after its position, by the worker as well."""
    request = command.named_after(str(position)).request_id or ""
    return Requested(command.org, command.adapter, command.type, command.key, request, position)


async def _send_and_follow(
    settings: Settings, clock: SystemClock, commands: Sequence[StartSync], is_silent: bool
) -> list[Followed]:
    async with AsyncExitStack() as stack:
        reader = await stack.enter_async_context(open_dead_letters(settings, clock))
        await reader.begin_watch()
        store = open_status(settings, clock)
        stack.push_async_callback(store.close)
        sent = await _send(settings, clock, commands)
        if not is_silent:
            _print_requested(sent)
        rejections = Rejections(reader)
        requests = [Request(one, rejections, clock) for one in sent]
        return await follow(store, requests, clock, display_for(console, is_silent))


def _print_requested(sent: Sequence[Requested]) -> None:
    for one in sent:
        say(f"requested {one.org} {one.adapter} {one.type}; its progress: sluice status {one.request_id}")


def _print_ended(ended: Sequence[Followed]) -> None:
    for one in ended:
        if one.run is None:
            say(f"{one.title}: {one.problem}", "red")
        else:
            _print_run(one.run)


def _print_run(run: RunView) -> None:
    took = span(run.elapsed_seconds)
    style = "green" if run.status == "done" else "red"
    say(f"{run.run_id}: {run.status} in {took}, {run.records:,} records on {run.pages:,} pages", style)
    for problem, names in by_reason(run).items():
        shown = ", ".join(names[:NAMES_SHOWN_MAX]) + (" …" if len(names) > NAMES_SHOWN_MAX else "")
        say(f"  {names[0] if len(names) == 1 else len(names)} {problem}" + (f" ({shown})" if len(names) > 1 else ""))


def by_reason(run: RunView) -> dict[str, list[str]]:
    """Each problem once, with the entities that have it."""
    found: dict[str, list[str]] = {}
    for entity in run.entities:
        if entity.phase in BAD:
            found.setdefault(f"{entity.phase}: {note_of(entity, run.ended_at)}", []).append(entity.name)
    return found
