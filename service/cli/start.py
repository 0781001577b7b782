"""`sluice start`: ask for a sync and, if wanted, watch it until its end."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Annotated, Protocol

import typer
from pydantic import ValidationError

from agents.deciders.sync import RETENTION_MS, TYPES_SERVED
from manifests.loader import load_with
from service.cli.following import Followed, NeverRuns, display_for, follow, now_ms
from service.cli.output import AsJson, console, errors, show
from service.cli.progress import note_of, say
from service.clock import Clock, SystemClock
from service.kafka.dead_letters import StoredDeadLetter, open_dead_letters
from service.kafka.producer import Place, produce
from service.read_model.progress import BAD, RunView
from service.read_model.times import span
from service.roles import open_status
from service.settings import Settings, read_settings
from service.status.store import StatusStore
from topics.commands import ConflictPolicy, StartSync
from topics.errors import Rejected

NAMES_SHOWN_MAX = 5  # entities that are named beside what went wrong
ORGS_MAX = 50  # organisations of one call
SENT_BY = "cli"
ATTACHED = " attached to run "  # how the main sync's decider notes it
INTERRUPTED = 130  # a shell's code for Ctrl-C


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked for, where it stands in Kafka, and the request that it is known by."""

    org: str
    adapter: str
    type: str
    workflow: str
    request_id: str
    command_id: str
    place: Place


class NewDeadLetters(Protocol):
    """Tells of each burial once, some time after it."""

    async def new(self) -> Sequence[StoredDeadLetter]: ...


class DeadLetterReasons:
    """What was buried since the commands were sent, by the place that it came from."""

    def __init__(self, reader: NewDeadLetters) -> None:
        self._reader = reader
        self._reasons: dict[tuple[str, int, int], str] = {}

    async def reason(self, place: Place) -> str | None:
        for stored in await self._reader.new():
            if stored.letter.topic == StartSync.topic:
                self._reasons[stored.origin] = stored.letter.reason
        return self._reasons.get((place.topic, place.partition, place.offset))


class Request:
    """A start that was sent: finds the run that came of it, or the reason why none will."""

    def __init__(self, asked: Asked, letters: DeadLetterReasons, clock: Clock) -> None:
        self._asked = asked
        self._dead_letters = letters
        self._clock = clock
        self._note = ""

    @property
    def title(self) -> str:
        return f"{self._asked.org}  {self._asked.adapter} {self._asked.type}"

    @property
    def state(self) -> str:
        return self._note or "asked for, not taken up yet"

    @property
    def is_heard(self) -> bool:
        return bool(self._note)

    async def find(self, store: StatusStore) -> str | None:
        reason = await self._dead_letters.reason(self._asked.place)
        if reason is not None:
            raise NeverRuns(f"rejected: {reason}")
        return await self._own_run(store) or await self._attached_run(store)

    async def _own_run(self, store: StatusStore) -> str | None:
        """The run that this request started. One that ended longer ago than workers remember is another one's."""
        oldest = now_ms(self._clock) - RETENTION_MS
        for state, _ in await store.syncs(self._asked.request_id):
            is_ours = state.key == self._asked.workflow and state.request == self._asked.request_id
            if is_ours and not 0 < state.ended_at < oldest:
                return state.run_id
        return None

    async def _attached_run(self, store: StatusStore) -> str | None:
        """The run in progress that the request was attached to; a note of anything else is kept to be shown."""
        for entry in await store.timeline(self._asked.workflow):
            if entry.cause == self._asked.command_id:
                self._note = entry.note
                _, found, run_id = entry.note.partition(ATTACHED)
                return run_id if found else None
        return None


def start(
    adapter: Annotated[str, typer.Argument(help="Which API: `sluice manifests show` lists them.")],
    org: Annotated[list[str], typer.Option(help="The organisation; may be repeated.")],
    type_: Annotated[str, typer.Option("--type", help="full: read everything.")] = "full",
    wait: Annotated[bool, typer.Option("--wait", help="Follow it until its end. Exit code 1: it did not go well.")] = (
        False
    ),
    request_id: Annotated[
        str | None, typer.Option(help="A name of your own. The same one never runs twice for an organisation.")
    ] = None,
    on_conflict: Annotated[
        ConflictPolicy, typer.Option(help="While a run is in progress: attach to it, or wait, or replace it, or not.")
    ] = "ignore",
    as_json: AsJson = False,
) -> None:
    """Make the database an exact copy of what an organisation has in an API."""
    commands = _commands(adapter, org, type_, request_id, on_conflict)
    settings, clock = read_settings(), SystemClock()
    if not wait:
        asked = asyncio.run(_ask(settings, clock, commands))
        show(asked, as_json, _print_asked)
        return
    try:
        ended = asyncio.run(_ask_and_follow(settings, clock, commands, as_json))
    except KeyboardInterrupt:
        errors.print("stopped watching; what was asked for goes on: `sluice status` shows it")
        raise typer.Exit(INTERRUPTED) from None
    show(ended, as_json, _print_ended)
    if not all(one.is_done for one in ended):
        raise typer.Exit(1)


def _commands(
    adapter: str, orgs: Sequence[str], type_: str, request_id: str | None, on_conflict: ConflictPolicy
) -> list[StartSync]:
    """Whatever cannot work is refused before anything is sent."""
    try:
        load_with(read_settings().manifests).adapter(adapter)
    except Rejected as error:
        raise typer.BadParameter(str(error)) from None
    if type_ not in TYPES_SERVED:
        raise typer.BadParameter(f"there is no type {type_!r}; there are: {', '.join(TYPES_SERVED)}")
    names = list(dict.fromkeys(orgs))
    if len(names) > ORGS_MAX:
        raise typer.BadParameter(f"{len(names)} organisations at once, at most {ORGS_MAX} can be asked for")
    return [_command(adapter, org, type_, request_id, on_conflict) for org in names]


def _command(adapter: str, org: str, type_: str, request_id: str | None, on_conflict: ConflictPolicy) -> StartSync:
    try:
        return StartSync(org=org, adapter=adapter, type=type_, request_id=request_id, on_conflict=on_conflict)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        option = str(problem["loc"][0]).replace("_", "-")
        raise typer.BadParameter(f"--{option} {problem['input']!r}: {problem['msg']}") from None


async def _ask(settings: Settings, clock: Clock, commands: Sequence[StartSync]) -> list[Asked]:
    places = await produce(settings, clock, commands, SENT_BY)
    return [asked_for(command, place) for command, place in zip(commands, places, strict=True)]


def asked_for(command: StartSync, place: Place) -> Asked:
    """Without a request id the message itself is the request, as the worker will see it, too."""
    request = command.request_id or str(place)
    known = command.model_copy(update={"request_id": request})
    return Asked(command.org, command.adapter, command.type, command.key, request, known.id, place)


async def _ask_and_follow(
    settings: Settings, clock: SystemClock, commands: Sequence[StartSync], is_silent: bool
) -> list[Followed]:
    async with AsyncExitStack() as stack:
        reader = await stack.enter_async_context(open_dead_letters(settings, clock))
        await reader.begin_watch()
        store = open_status(settings, clock)
        stack.push_async_callback(store.close)
        letters = DeadLetterReasons(reader)
        asked = await _ask(settings, clock, commands)
        if not is_silent:
            _print_asked(asked)
        requests = [Request(one, letters, clock) for one in asked]
        return await follow(store, requests, clock, display_for(console, is_silent))


def _print_asked(asked: Sequence[Asked]) -> None:
    for one in asked:
        say(f"asked for {one.org} {one.adapter} {one.type}; to see how it goes: sluice status {one.request_id}")


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
    for what, names in by_reason(run).items():
        shown = ", ".join(names[:NAMES_SHOWN_MAX]) + (" …" if len(names) > NAMES_SHOWN_MAX else "")
        say(f"  {names[0] if len(names) == 1 else len(names)} {what}" + (f" ({shown})" if len(names) > 1 else ""))


def by_reason(run: RunView) -> dict[str, list[str]]:
    """What went wrong, once each, with the entities that it met."""
    met: dict[str, list[str]] = {}
    for entity in run.entities:
        if entity.phase in BAD:
            met.setdefault(f"{entity.phase}: {note_of(entity, run.ended_at)}", []).append(entity.name)
    return met
