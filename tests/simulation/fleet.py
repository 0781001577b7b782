"""The processes of one role: who lives, who is down, who continues although somebody else has taken over."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Generic, TypeVar

from tests.engine.broker import Group, Member
from tests.engine.faults import Died, Faults
from tests.engine.process import Process

EXPELLED_MAX = 2
LIVE_MAX = 3


P = TypeVar("P", bound=Process)


class Fleet(Generic[P]):
    """`live` by static name. `make` begins a life: a name for the trace, and the static name."""

    def __init__(self, role: str, group: Group, partitions: int, make: Callable[[str, str], P], faults: Faults) -> None:
        self.group = group
        self.live: dict[str, P] = {}
        self.down: list[str] = []
        self.expelled: list[P] = []
        self._role = role
        self._partitions = partitions
        self._make = make
        self._faults = faults
        self._lives = 0
        self._names = 0

    async def move(self) -> None:
        if process := self._any(self.live):
            await self._run(process, process.move)

    async def each(self, do: Callable[[P], Awaitable[None]]) -> None:
        for process in list(self.live.values()):
            await self._run(process, partial(do, process))

    async def drain(self) -> bool:
        moved = False
        for process in list(self.live.values()):
            try:
                moved |= await process.drain()
            except Died:
                self._end(process)
                self.down.append(self._static(process))
                await self.restart()
                moved = True
        return moved

    async def join(self) -> None:
        """One process more, under a new name."""
        if len(self.live) + len(self.down) < LIVE_MAX:
            self._names += 1
            self._begin(f"{self._role}-{self._names}")
            await self._rebalance()

    async def leave(self) -> None:
        """A process is stopped in good order."""
        if len(self.live) > 1 and (process := self._any(self.live)):
            await self._run(process, process.revoke)
            self._end(process)
            await self._rebalance()

    async def crash(self) -> None:
        if process := self._any(self.live):
            self._faults.note(process.name, "is killed")
            self._end(process)
            self.down.append(self._static(process))

    async def kill_all(self) -> None:
        """Every one is killed, wherever it is with what it was about to commit."""
        for process in list(self.live.values()):
            await self._run(process, process.revoke)
            if self._static(process) in self.live:
                self._end(process)
                self.down.append(self._static(process))

    async def restart(self) -> None:
        """One that is down comes back in time: same generation, same partitions."""
        if self.down:
            name = self.down.pop(self._faults.random.randrange(len(self.down)))
            process = self._begin(name)
            member = self.group.rejoin(name)
            self._faults.note(process.name, f"is back in generation {member.generation} with {member.partitions}")
            await self._run(process, partial(process.assign, member))

    async def expire(self) -> None:
        """One that is down did not come back in time: the others take over, and it joins later."""
        if self.down:
            self.down.clear()
            await self._rebalance()

    async def freeze(self) -> None:
        """One stands still for so long that the others take over; then it continues as if nothing had happened."""
        if process := self._any(self.live):
            self._faults.note(process.name, "is frozen, and expelled")
            self._expel(process)
            await self._rebalance()

    async def double(self) -> None:
        """Somebody starts a second process under a name that is taken: it fences the first, which does not know yet."""
        if process := self._any(self.live):
            self._faults.note(process.name, "has a double")
            self._expel(process)
            self.down.append(self._static(process))
            await self.restart()

    async def move_expelled(self) -> None:
        """Whoever was expelled continues for a while, and ends when it learns of it."""
        if self.expelled:
            process = self._faults.random.choice(self.expelled)
            try:
                await process.move()
            except Died:
                self._end_expelled(process)

    async def end_one_expelled(self) -> None:
        if self.expelled:
            self._end_expelled(self._faults.random.choice(self.expelled))

    def end_expelled(self) -> None:
        for process in list(self.expelled):
            self._end_expelled(process)

    async def skew(self, skew_ms: int) -> None:
        if process := self._any(self.live):
            self._faults.note(process.name, f"has a clock that is wrong by {skew_ms} ms")
            process.clock.skew_ms = skew_ms

    async def calm(self) -> None:
        """No more expelled processes, nobody down, every clock right."""
        self.end_expelled()
        while self.down:
            await self.restart()
        if not self.live:
            await self.join()
        for process in self.live.values():
            process.clock.skew_ms = 0

    def end(self) -> None:
        for process in (*self.live.values(), *self.expelled):
            process.die()

    async def _rebalance(self) -> None:
        """Every process gives its partitions back, then each is given some, at random."""
        for process in list(self.live.values()):
            await self._run(process, process.revoke)
        self.down.clear()
        if not self.live:
            await self.join()
            return
        names = list(self.live)
        owners = [self._faults.random.choice(names) for _ in range(self._partitions)]
        shares = {name: [number for number, owner in enumerate(owners) if owner == name] for name in names}
        members: Mapping[str, Member] = self.group.rebalance(shares)
        for name, member in members.items():
            process = self.live[name]
            self._faults.note(process.name, f"holds {member.partitions} in generation {member.generation}")
            await self._run(process, partial(process.assign, member))

    async def _run(self, process: P, do: Callable[[], Awaitable[None]]) -> None:
        try:
            await do()
        except Died:
            self._end(process)
            self.down.append(self._static(process))

    def _begin(self, name: str) -> P:
        self._lives += 1
        self.live[name] = self._make(f"{name}#{self._lives}", name)
        return self.live[name]

    def _end(self, process: P) -> None:
        process.die()
        self.live.pop(self._static(process), None)

    def _expel(self, process: P) -> None:
        del self.live[self._static(process)]
        self.expelled.append(process)
        for process in self.expelled[:-EXPELLED_MAX]:
            self._end_expelled(process)

    def _end_expelled(self, process: P) -> None:
        process.die()
        self.expelled.remove(process)

    def _any(self, live: Mapping[str, P]) -> P | None:
        return self._faults.random.choice(list(live.values())) if live else None

    def _static(self, process: P) -> str:
        return process.name.partition("#")[0]
