"""Interruptions: commands that were under way when their process ended. One of them may have ended it.

A command that was delivered again is entered in the database before it begins, and removed when it ends. One that is
entered already was interrupted: it runs apart from other such commands, so that it alone is blamed if the process ends
again. After INTERRUPTIONS_MAX it is set aside: its workflow fails with the reason, and everybody else's continue.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple, Protocol, TypeVar

from agents import concurrency
from agents.activities.batcher import BatchCall, Batcher
from agents.activities.runner import ActivityRunner
from topics.command import Command
from topics.errors import Rejected, Retryable

INTERRUPTIONS_MAX = 4  # of a command, before it is set aside; the one when it was first delivered is not counted
APART_SECONDS_MAX = 5.0  # that the next interrupted command waits for one
END_SECONDS_MAX = 5.0  # for the database to note the end of a command; then it stays entered
COMMANDS_PER_BATCH_MAX = 500

T = TypeVar("T")
R = TypeVar("R")


class Begun(NamedTuple):
    """A command that begins; with this time, so many `times`."""

    command: str
    connection: str
    times: int


class InterruptionStore(Protocol):
    """Durable, and the same for every fetcher. Raises Retryable where the database cannot be reached."""

    async def interruptions(self, commands: Sequence[str]) -> Mapping[str, int]:
        """How often each was begun and did not end, 0 left out."""
        ...

    async def begin(self, begun: Sequence[Begun]) -> None: ...

    async def end(self, commands: Sequence[str]) -> None: ...


class Interruptions:
    """Runs commands; those that were delivered again with this precaution. The others cost nothing more."""

    def __init__(self, runner: ActivityRunner, store: InterruptionStore) -> None:
        self._runner = runner
        self._store = store
        self._apart = asyncio.Lock()
        self._known: Batcher[str, int] = _batcher(self._interruptions)
        self._begun: Batcher[Begun, None] = _batcher(self._begin)
        self._ended: Batcher[str, None] = _batcher(self._end)

    async def run(self, command: Command, is_redelivered: bool) -> Command:
        """The result to report. Rejected: the command is none of a data topic."""
        if not is_redelivered:
            return await self._runner.run(command)
        try:
            times = await self._known(command.id)
        except Retryable:  # without the database the command ends soon, whatever it is
            return await self._runner.run(command)
        if times >= INTERRUPTIONS_MAX:
            return await self._set_aside(command, times)
        if not times:
            return await self._run(command, 1)
        async with self._alone():
            return await self._run(command, times + 1)

    async def _run(self, command: Command, times: int) -> Command:
        """An error that ends the process leaves the command entered; whatever else ends it does not."""
        with suppress(Retryable):
            await self._begun(Begun(command.id, command.key, times))
        try:
            result = await self._runner.run(command)
        except (asyncio.CancelledError, Rejected):
            await self._note_end(command)
            raise
        await self._note_end(command)
        return result

    async def _set_aside(self, command: Command, times: int) -> Command:
        reason = (
            f"set aside: {times} times in a row the fetcher ended while it worked on this, and it is likely the cause. "
            "Look into the fetcher's log and the system's (out of memory?) for how, then start the sync again"
        )
        result = self._runner.refused(command, reason)
        await self._note_end(command)
        return result

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """Within, no other interrupted command begins for APART_SECONDS_MAX."""
        is_held: bool = await self._apart.acquire()

        def release() -> None:
            nonlocal is_held
            if is_held:
                is_held = False
                self._apart.release()

        timer = asyncio.get_running_loop().call_later(APART_SECONDS_MAX, release)
        try:
            yield
        finally:
            timer.cancel()
            release()

    async def _note_end(self, command: Command) -> None:
        with suppress(Retryable, TimeoutError):
            async with asyncio.timeout(END_SECONDS_MAX):
                await self._ended(command.id)

    async def _interruptions(self, commands: Sequence[str]) -> Sequence[int]:
        known = await self._store.interruptions(commands)
        return [known.get(command, 0) for command in commands]

    async def _begin(self, begun: Sequence[Begun]) -> Sequence[None]:
        await self._store.begin(begun)
        return [None] * len(begun)

    async def _end(self, commands: Sequence[str]) -> Sequence[None]:
        await self._store.end(commands)
        return [None] * len(commands)


def _batcher(call: BatchCall[T, R]) -> Batcher[T, R]:
    return Batcher(call, batch_size_max=COMMANDS_PER_BATCH_MAX, concurrency_max=concurrency.INTERRUPTION_BATCHES)
