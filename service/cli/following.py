"""Progress of runs, followed until they end: on a terminal, on a pipe, or silently."""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Protocol

from rich.console import Console
from rich.live import Live

from agents.kinds import SYNC
from service.cli.progress import Block, Board, Pending, changes, totals
from service.clock import Clock
from service.read_model.progress import RunProgress, RunView, Snapshot
from service.read_model.times import span
from service.sinks.migrations import NotPrepared
from service.status.store import StatusStore
from topics.errors import Rejected, Retryable

POLL_SECONDS = 0.5
FRAMES_A_SECOND = 8
TOTALS_SECONDS = 5.0
UNHANDLED_SECONDS = 30.0  # no worker accepted a request for so long: a possible cause is shown
LOST_SECONDS_MAX = 600.0  # the database did not answer for so long: following stops, the runs continue
POSSIBLE_CAUSE = "do a worker and a projector run? `sluice dev` runs everything on this machine"


class Subject(Protocol):
    """A request or run to follow, before its run is known. `title` names it."""

    @property
    def title(self) -> str: ...

    @property
    def state(self) -> str:
        """Its state so far, in words."""
        ...

    @property
    def is_accepted(self) -> bool:
        """Whether a worker has accepted it, so that waiting is expected."""
        ...

    async def find(self, store: StatusStore) -> str | None:
        """The run's id, None while there is none. NeverRuns: there will be none; its text is the reason."""
        ...


class NeverRuns(Rejected):
    """There will be no run."""


@dataclass(frozen=True, slots=True)
class NamedRun:
    """The newest run with this run id, workflow key or request id; it may not have begun yet."""

    title: str

    @property
    def state(self) -> str:
        return "has not begun yet"

    @property
    def is_accepted(self) -> bool:
        return False

    async def find(self, store: StatusStore) -> str | None:
        found = await store.runs(SYNC.name, self.title)
        return str(found[0].run_id) if found else None


@dataclass(frozen=True, slots=True)
class Followed:
    """The end of following: the run as it was last published or, without a run, the problem."""

    title: str
    run: RunView | None
    problem: str = ""

    @property
    def is_done(self) -> bool:
        return self.run is not None and self.run.status == "done"


class Display(Protocol):
    """An output for blocks, entered for as long as runs are followed."""

    def show(self, blocks: Sequence[Block], notice: str, at: float, now: int) -> None:
        """`at` in monotonic seconds, `now` in Unix ms."""
        ...


class LiveDisplay(AbstractContextManager["LiveDisplay"]):
    """A board that is redrawn in place; its last state stays on the screen."""

    def __init__(self, console: Console) -> None:
        self._board = Board((), 0)
        self._live = Live(console=console, get_renderable=lambda: self._board, refresh_per_second=FRAMES_A_SECOND)

    def __enter__(self) -> "LiveDisplay":
        self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._live.stop()

    def show(self, blocks: Sequence[Block], notice: str, at: float, now: int) -> None:
        self._board = Board(tuple(blocks), now, notice)


@dataclass
class PlainDisplay(AbstractContextManager["PlainDisplay"]):
    """A line for each event, and totals every TOTALS_SECONDS while a run is in progress."""

    console: Console
    _printed: dict[str, str] = field(default_factory=dict)
    _runs: dict[str, RunView] = field(default_factory=dict)
    _totals_at: float | None = None

    def __exit__(self, *error: object) -> None: ...

    def show(self, blocks: Sequence[Block], notice: str, at: float, now: int) -> None:
        self._once("", notice)
        is_time = self._totals_at is not None and at - self._totals_at >= TOTALS_SECONDS
        if is_time or self._totals_at is None:
            self._totals_at = at
        for block in blocks:
            if isinstance(block, Pending):
                self._once(block.title, f"{block.title}: {block.text}")
            else:
                self._show_run(block, is_time, now)

    def _show_run(self, run: RunView, is_time: bool, now: int) -> None:
        before = self._runs.get(run.run_id)
        self._runs[run.run_id] = run
        for line in changes(before, run, now):
            self._print(line)
        has_just_ended = run.has_ended and (before is None or not before.has_ended)
        if has_just_ended or (is_time and not run.has_ended):
            self._print(totals(run))

    def _once(self, about: str, line: str) -> None:
        if line and self._printed.get(about) != line:
            self._print(line)
        self._printed[about] = line

    def _print(self, line: str) -> None:
        self.console.print(line, markup=False, emoji=False, soft_wrap=True)


class SilentDisplay:
    """No output: programs get the end alone."""

    def show(self, blocks: Sequence[Block], notice: str, at: float, now: int) -> None: ...


def display_for(console: Console, is_silent: bool = False) -> AbstractContextManager[Display]:
    if is_silent:
        return nullcontext(SilentDisplay())
    return LiveDisplay(console) if console.is_terminal else PlainDisplay(console)


async def follow(
    store: StatusStore, subjects: Sequence[Subject], clock: Clock, display: AbstractContextManager[Display]
) -> list[Followed]:
    """Wait until every subject's run has ended or is known never to start; return the ends in the same order.

    Retryable: the database did not answer for LOST_SECONDS_MAX. Cancelling stops following, not the runs.
    """
    following = [_Following(subject, clock.monotonic()) for subject in subjects]
    answered_at, notice = clock.monotonic(), ""
    with display as shown:
        while True:
            try:
                for one in following:
                    await one.look(store, clock)
                answered_at, notice = clock.monotonic(), ""
            except Retryable as error:
                if clock.monotonic() - answered_at >= LOST_SECONDS_MAX:
                    raise
                notice = f"the progress cannot be read, the runs continue: {error}"
            at, now = clock.monotonic(), now_ms(clock)
            shown.show([one.block(at) for one in following], notice, at, now)
            if all(one.has_ended for one in following):
                return [one.followed for one in following]
            await asyncio.sleep(POLL_SECONDS)


async def snapshot_of(store: StatusStore, run_id: str, clock: Clock) -> Snapshot | None:
    """The run as it is published now; None if it is not."""
    found = await store.runs(SYNC.name, run_id)
    if not found:
        return None
    return Snapshot(clock.monotonic(), now_ms(clock), found[0], tuple(await store.children(run_id)))


class _Following:
    """One subject and its progress."""

    def __init__(self, subject: Subject, since: float) -> None:
        self._subject = subject
        self._since = since
        self._run_id: str | None = None
        self._progress = RunProgress()
        self._view: RunView | None = None
        self._problem = ""

    @property
    def has_ended(self) -> bool:
        return bool(self._problem) or (self._view is not None and self._view.has_ended)

    @property
    def followed(self) -> Followed:
        return Followed(self._subject.title, self._view, self._problem)

    async def look(self, store: StatusStore, clock: Clock) -> None:
        if self.has_ended:
            return
        if self._run_id is None:
            self._run_id = await self._find(store)
        if self._run_id is not None:
            snapshot = await snapshot_of(store, self._run_id, clock)
            self._view = self._progress.view(snapshot) if snapshot else self._view

    async def _find(self, store: StatusStore) -> str | None:
        try:
            return await self._subject.find(store)
        except NeverRuns as error:
            self._problem = str(error)
        except NotPrepared:
            pass  # no projector has run yet
        return None

    def block(self, at: float) -> Block:
        if self._view is not None:
            return self._view
        if self._problem:
            return Pending(self._subject.title, self._problem, is_trouble=True)
        waited = at - self._since
        if waited < UNHANDLED_SECONDS or self._subject.is_accepted:
            return Pending(self._subject.title, self._subject.state)
        so_long = span(waited - waited % UNHANDLED_SECONDS)
        return Pending(self._subject.title, f"{self._subject.state} for {so_long}: {POSSIBLE_CAUSE}")


def now_ms(clock: Clock) -> int:
    """The wall clock in Unix ms, the unit of all times in states."""
    return int(clock.now().timestamp() * 1000)
