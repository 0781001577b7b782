"""A lock on ranges of units: leases of one run that ask for the same units run one after the other in a process.

Two are out where a worker has asked again for what it then hears is done. Side by side, each could ask for a page just
after the other has committed it; the later one finds it in the ledger.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class RangeLock:
    """The ranges in use, by run. Memory: the leases in flight. Whoever comes later waits, so there is no deadlock."""

    def __init__(self) -> None:
        self._held: dict[str, list[tuple[range, asyncio.Event]]] = {}

    @asynccontextmanager
    async def acquire(self, run: str, units: range) -> AsyncIterator[None]:
        """Within, no lease that came before holds any of these units."""
        others = self._held.setdefault(run, [])
        before = [done for theirs, done in others if theirs.start < units.stop and units.start < theirs.stop]
        mine = units, asyncio.Event()
        others.append(mine)
        try:
            for done in before:
                await done.wait()
            yield
        finally:
            mine[1].set()
            others.remove(mine)
            if not others:
                del self._held[run]
