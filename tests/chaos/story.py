"""What happens in a run: load, faults and their healing, quiet, a last sync of everything, the verdict."""

import asyncio
import traceback
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from tests.chaos.catalogue import available, drawn
from tests.chaos.faults.fault import Fault
from tests.chaos.load import Load
from tests.chaos.progress import Progress, left_behind, until_ended, until_prepared, until_quiet, waiting
from tests.chaos.site import Site, site, thaw, until_simulated
from tests.chaos.tale import Tale, Told
from tests.chaos.verdict import check, install_audit, shortened

READY_SECONDS_MAX = 90.0
RECOVERY_SECONDS_MAX = 120.0
QUIET_SECONDS_MAX = 180.0
HEAL_SECONDS_MAX = 150.0
BREATH_SECONDS = (0.5, 3.0)
BROKER_POLL_SECONDS = 1.0


@dataclass(frozen=True)
class Plan:
    """What a run is told. `faults` are names; none means all. `modules` are the negative controls', by role.

    `quiet_seconds` is how long the runs may take to end once all is healed.
    """

    seed: int
    minutes: float
    brokers: int = 1
    faults: Sequence[str] = ()
    modules: dict[str, str] = field(default_factory=dict)
    quiet_seconds: float = QUIET_SECONDS_MAX


@dataclass
class Ending:
    """What came of a run: `problems` in sentences, none if it is clean; figures for the report."""

    problems: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    pages: int = 0
    requests: int = 0
    unanswered: int = 0
    checker: str = ""


async def tell_story(plan: Plan, home: Path, tale: Tale) -> Ending:
    """One run in `home`, from nothing to the verdict."""
    tale.begin()
    ending = Ending()
    async with site(home, tale.tell, plan.brokers, plan.modules) as made:
        await until_simulated(made)
        story = Story(plan, made, tale, ending)
        await story.run()
        made.has_failed = bool(ending.problems)
    return ending


class Story:
    """One run on a site that is there."""

    def __init__(self, plan: Plan, site: Site, tale: Tale, ending: Ending) -> None:
        self._plan = plan
        self._site = site
        self._tale = tale
        self._ending = ending
        self._random = Random(f"{plan.seed}/story")
        self._progress = Progress(site)
        self._load = Load(site, plan.seed)

    async def run(self) -> None:
        site, tale, ending = self._site, self._tale, self._ending
        self._start()
        async with self._going(site.keeper.keep()), self._going(self._keep_brokers()):
            await self._prepare()
            async with self._going(self._progress.watch()):
                async with self._going(self._load.ask_on()):
                    await self._until_page(READY_SECONDS_MAX, "the first page")
                    await self._faults()
                await heal_all(site)
                ending.problems += await self._come_to_rest()
            await site.keeper.stop(*site.instances)
        ending.pages, ending.requests = self._progress.pages, len(site.produced.places)
        ending.unanswered = self._load.unanswered
        tale.tell(f"{ending.pages} pages were committed, {ending.requests} requests acknowledged; the checker reads")
        found, ending.checker = await check(site, site.home / "checker.json")
        ending.problems += found
        print(shortened(ending.checker), flush=True)

    def _start(self) -> None:
        """One process of each role, or two, as the seed says."""
        for role in ("worker", "fetcher", "projector"):
            for number in range(1, self._random.choice((1, 2)) + 1):
                self._site.instances[f"{role}-{number}"].is_wanted = True
        started = ", ".join(name for name, one in self._site.instances.items() if one.is_wanted)
        self._tale.tell(f"{len(self._site.brokers.nodes)} broker(s), PostgreSQL and the simulator run; now {started}")

    async def _prepare(self) -> None:
        async with asyncio.timeout(READY_SECONDS_MAX):
            await until_prepared(self._site)
        await install_audit(self._site)

    async def _faults(self) -> None:
        kinds, self._ending.skipped = available(self._site, self._plan.faults, self._plan.minutes)
        for name, why in self._ending.skipped.items():
            self._tale.tell(f"without {name!r}: {why}")
        if not kinds:
            raise ValueError("none of these faults can be had here")
        deadline = asyncio.get_running_loop().time() + self._plan.minutes * 60
        for faults in drawn(kinds, self._plan.seed):
            if asyncio.get_running_loop().time() >= deadline:
                return
            await self._befall(faults)
            if self._ending.problems:
                return  # what follows would be this one's consequence
            await asyncio.sleep(self._random.uniform(*BREATH_SECONDS))

    async def _befall(self, faults: list[Fault]) -> None:
        """Inject, wait, heal, and wait for the next page."""
        tale = self._tale
        told = [Told(fault.name, "", tale.now) for fault in faults]
        for one, fault in zip(told, faults, strict=True):
            one.at = tale.now
            one.beside = " and ".join(other.name for other in faults if other is not fault)
            await self._try(one, fault.inject(self._site))
            one.what = fault.what
            tale.tell(f"{fault.name}: {fault.what}" if fault.what else fault.name)
        await asyncio.sleep(max(self._random.uniform(*fault.seconds) for fault in faults))
        for one, fault in zip(told, faults, strict=True):
            await self._try(one, fault.heal(self._site))
            one.lasted = tale.now - one.at
            one.what = fault.what
        await self._recover(told)
        tale.faults += told

    async def _try(self, told: Told, step: Coroutine[Any, Any, None]) -> None:
        """A fault that the harness could not bring about, or take back, is the harness's problem."""
        try:
            async with asyncio.timeout(HEAL_SECONDS_MAX):
                await step
        except Exception as error:
            told.verdict = f"harness: {error!r}"
            self._ending.problems.append(f"{told.name} could not be brought about or healed: {error!r}")
            traceback.print_exc()

    async def _recover(self, told: list[Told]) -> None:
        healed = self._tale.now
        problem = await self._until_page(RECOVERY_SECONDS_MAX, "a page after the healing")
        for one in told:
            if not problem:
                one.mttr_healed, one.mttr_injected = self._tale.now - healed, self._tale.now - one.at
            one.verdict = one.verdict or problem or "recovered"
        names = " and ".join(one.name for one in told)
        after = "no page came" if problem else f"next page after {self._tale.now - healed:.1f} s"
        details = "; ".join(one.what for one in told if one.what)
        self._tale.tell(f"  healed: {names} ({details}); {after}")

    async def _until_page(self, seconds: float, what: str) -> str:
        """Nothing, or what is wrong: nothing was committed for so long."""
        try:
            async with asyncio.timeout(seconds):
                await self._progress.next_page()
        except TimeoutError:
            problem = f"waited {seconds:.0f} s for {what}"
            self._ending.problems.append(problem)
            for line in await self._who_waits():
                self._tale.tell(f"  {line}")
            return problem
        return ""

    async def _come_to_rest(self) -> list[str]:
        """All runs end; then each organisation is synced once more, since people may have written meanwhile."""
        self._tale.tell("all is healed, nobody asks any more: waiting for quiet")
        try:
            async with asyncio.timeout(self._plan.quiet_seconds):
                await until_quiet(self._site, self._progress)
            self._tale.tell("quiet; one last sync of each organisation")
            async with asyncio.timeout(self._plan.quiet_seconds):
                problems = await until_ended(self._site, await self._load.ask_all())
                await until_quiet(self._site, self._progress)
        except TimeoutError:
            lines = await self._who_waits()
            return [f"not at rest within {self._plan.quiet_seconds:.0f} s", *lines]
        problems += await left_behind(self._site)
        return problems

    async def _who_waits(self) -> list[str]:
        try:
            return await waiting(self._site)
        except Exception as error:  # told beside a problem that is told already
            return [f"who waits cannot be told: {error!r}"]

    async def _keep_brokers(self) -> None:
        """A broker that has ended by itself starts again."""
        while True:
            for node in self._site.brokers.nodes:
                if not node.held and not node.runs:
                    self._tale.tell(f"{node.name} has ended by itself and starts again")
                    self._site.brokers.launch(node)
            await asyncio.sleep(BROKER_POLL_SECONDS)

    @asynccontextmanager
    async def _going(self, work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
        """The work goes on beside; if it ends by itself, it was a mistake, which is raised at the end."""
        task = asyncio.create_task(work)
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def heal_all(site: Site) -> None:
    """Whatever a fault has left behind is put right."""
    site.network.change(site.network.links, "open")
    site.network.swallow(site.network.links, 0, 0)
    for instance in site.instances.values():
        instance.held = False
        site.clocks.move(instance.name, 0)
    for node in site.brokers.nodes:
        node.held = False
        site.clocks.move(node.name, 0)
        site.disks.free(node.home)
    site.disks.free(site.tables)
    thaw(site.postgres)
    await site.ask_simulator("faults/clear", {})
    await site.brokers.until_ready()
