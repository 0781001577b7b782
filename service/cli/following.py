"""Requests for syncs, sent and followed until their runs end: on a terminal, on a pipe, or silently."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.live import Live

from agents.kinds import SHIPPED
from service.cli.progress import Block, Board, Pending, changes, totals
from service.cli.status import published, snapshot_of
from service.clock import Clock
from service.kafka.dead_letters import Origin, StoredDeadLetter, open_dead_letters
from service.kafka.producer import RecordPosition, produce
from service.kafka.topics import check_topics
from service.read_model.progress import RunProgress, RunView
from service.read_model.times import now_ms, span
from service.settings import Settings
from service.sinks.migrations import NotPrepared
from service.status.store import StatusStore
from topics.catalog import MESSAGE_RETENTION_MS
from topics.errors import Retryable
from topics.kinds.sync import StartSync

POLL_SECONDS = 0.5
FRAMES_A_SECOND = 8
TOTALS_MS = 5_000
UNHANDLED_SECONDS = 30.0  # no worker accepted a request for so long: a possible cause is shown
LOST_SECONDS_MAX = 600.0  # the database did not answer for so long: following stops, the runs continue
POSSIBLE_CAUSE = "do a worker and a projector run? `sluice dev` runs everything on this machine"

Show = Callable[[Board], None]


@dataclass(frozen=True, slots=True)
class Requested:
    """A request that was sent: its sync, its id, its position in Kafka."""

    org: str
    adapter: str
    type: str
    workflow: str
    request_id: str
    position: RecordPosition


@dataclass(frozen=True, slots=True)
class Followed:
    """The end of following: the run as it was last published or, without a run, the problem."""

    title: str
    run: RunView | None
    problem: str = ""

    @property
    def is_done(self) -> bool:
        return self.run is not None and self.run.status == "done"


async def send(settings: Settings, clock: Clock, commands: Sequence[StartSync]) -> list[Requested]:
    positions = await produce(settings, clock, SHIPPED.catalog, commands, "cli")
    return [requested(command, position) for command, position in zip(commands, positions, strict=True)]


def requested(command: StartSync, position: RecordPosition) -> Requested:
    """A request without an id is named after its message, by the worker as well."""
    request = command.named_after(position.message_name).request_id or ""
    return Requested(command.org, command.adapter, command.type, command.key, request, position)


async def send_and_follow(
    settings: Settings,
    clock: Clock,
    commands: Sequence[StartSync],
    display: AbstractContextManager[Show],
    announce: Callable[[Sequence[Requested]], None] = lambda sent: None,
) -> list[Followed]:
    """`announce` is called once the requests are sent, before the display begins."""
    async with open_dead_letters(settings, clock) as reader, published(settings, clock) as store:
        await reader.begin_watch()
        journal = await check_topics(settings, clock, SHIPPED.catalog)
        sent = await send(settings, clock, commands)
        announce(sent)
        rejections = Rejections(reader.new)
        with display as show:
            return await follow(store, [Request(one, rejections, clock, journal.topic_id) for one in sent], clock, show)


@contextmanager
def display_for(console: Console, is_silent: bool = False) -> Iterator[Show]:
    """A board that is redrawn in place on a terminal that shows Unicode, lines elsewhere, nothing for programs."""
    if is_silent:
        yield lambda board: None
    elif console.is_terminal and not console.options.ascii_only:
        with Live(console=console, refresh_per_second=FRAMES_A_SECOND) as live:
            yield live.update
    else:
        yield Lines(console).show


class Lines:
    """A line for each event, and totals every TOTALS_MS while a run is in progress."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._printed: dict[str, str] = {}
        self._runs: dict[str, RunView] = {}
        self._totals_at: int | None = None

    def show(self, board: Board) -> None:
        self._once("", board.notice)
        is_time = self._totals_at is not None and board.now - self._totals_at >= TOTALS_MS
        if is_time or self._totals_at is None:
            self._totals_at = board.now
        for block in board.blocks:
            if isinstance(block, Pending):
                self._once(block.title, f"{block.title}: {block.text}")
                continue
            for line in changes(self._runs.get(block.run_id), block, board.now):
                self._print(line)
            self._runs[block.run_id] = block
            if block.has_ended or is_time:
                self._once(block.run_id, totals(block))

    def _once(self, about: str, line: str) -> None:
        if line and self._printed.get(about) != line:
            self._print(line)
        self._printed[about] = line

    def _print(self, line: str) -> None:
        self._console.print(line, markup=False, emoji=False, soft_wrap=True)


class Rejections:
    """Reasons of requests that were rejected after they were sent, by their positions in Kafka.

    `new` returns each new dead letter once, some time after it was stored.
    """

    def __init__(self, new: Callable[[], Awaitable[Sequence[StoredDeadLetter]]]) -> None:
        self._new = new
        self._reasons: dict[Origin, str] = {}

    async def reason(self, position: RecordPosition) -> str | None:
        for stored in await self._new():
            if stored.letter.topic == StartSync.topic:
                self._reasons[stored.origin] = stored.letter.reason
        return self._reasons.get((position.topic, position.partition, position.offset))


class Request:
    """A request that was sent, and the run that it led to or the reason why there will be none.

    `journal` is Kafka's id of the journal behind the request: what another one said of the same id, before Kafka was
    built anew, is no answer.
    """

    def __init__(self, requested: Requested, rejections: Rejections, clock: Clock, journal: str = "") -> None:
        self._requested = requested
        self._journal = journal
        self._rejections = rejections
        self._clock = clock
        self._sent_at = clock.monotonic()
        self._title = f"{requested.org}  {requested.adapter} {requested.type}"
        self._event = ""  # of the timeline, once a worker has accepted the request
        self._run_id = ""
        self._progress = RunProgress()
        self._run: RunView | None = None
        self._problem = ""

    @property
    def has_ended(self) -> bool:
        return bool(self._problem) or (self._run is not None and self._run.has_ended)

    @property
    def followed(self) -> Followed:
        return Followed(self._title, self._run, self._problem)

    @property
    def block(self) -> Block:
        if self._run is not None:
            return self._run
        if self._problem:
            return Pending(self._title, self._problem, is_trouble=True)
        if self._event:
            return Pending(self._title, self._event)
        waited = self._clock.monotonic() - self._sent_at
        text = "requested, not accepted yet"
        if waited >= UNHANDLED_SECONDS:
            text += f" for {span(waited - waited % UNHANDLED_SECONDS)}: {POSSIBLE_CAUSE}"
        return Pending(self._title, text)

    async def look(self, store: StatusStore) -> None:
        """Read how far it got. Retryable: the database or Kafka does not answer now."""
        if not self._run_id and not self.has_ended:
            await self._find(store)
        if self._run_id and not self.has_ended:
            snapshot = await snapshot_of(store, self._run_id, self._clock)
            self._run = self._progress.view(snapshot) if snapshot else self._run

    async def _find(self, store: StatusStore) -> None:
        """The run that the request started or was attached to. Entries older than the workers' request logs do not
        count: their ids may have been used again."""
        reason = await self._rejections.reason(self._requested.position)
        if reason is not None:
            self._problem = f"rejected: {reason}"
            return
        oldest = now_ms(self._clock) - MESSAGE_RETENTION_MS
        try:
            entries = await store.timeline(self._requested.workflow)
        except NotPrepared:
            return  # no projector has run yet
        for entry in entries:
            is_ours = entry.request_id == self._requested.request_id and entry.journal == self._journal
            if is_ours and entry.at.timestamp() * 1000 >= oldest:
                self._event, self._run_id = entry.event, entry.run_id
                return


async def follow(store: StatusStore, requests: Sequence[Request], clock: Clock, show: Show) -> list[Followed]:
    """Wait until every request's run has ended or is known never to start; return the ends in the same order.

    Retryable: the database did not answer for LOST_SECONDS_MAX. Cancelling stops following, not the runs.
    """
    answered_at, notice = clock.monotonic(), ""
    while True:
        try:
            for one in requests:
                await one.look(store)
            answered_at, notice = clock.monotonic(), ""
        except Retryable as error:
            if clock.monotonic() - answered_at >= LOST_SECONDS_MAX:
                raise
            notice = f"the progress cannot be read, the runs continue: {error}"
        show(Board([one.block for one in requests], now_ms(clock), notice))
        if all(one.has_ended for one in requests):
            return [one.followed for one in requests]
        await asyncio.sleep(POLL_SECONDS)
