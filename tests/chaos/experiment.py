"""The experiment: load, faults and their healing, quiet, a last sync of everything, the verdict."""

import asyncio
import signal
import traceback
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from agents.faust.tail import TAIL_SECONDS
from tests.chaos.archive import Archive
from tests.chaos.catalogue import available, drawn
from tests.chaos.faults.fault import Fault
from tests.chaos.load import Load
from tests.chaos.progress import Progress, left_behind, until_ended, until_prepared, until_quiet, waiting
from tests.chaos.report import FaultReport, Report
from tests.chaos.system import PARTITIONS, System, running_system, signal_postgres, until_simulated
from tests.chaos.verdict import check, install_audit, shortened

READY_SECONDS_MAX = 90.0
RECOVERY_SECONDS_MAX = 120.0
QUIET_SECONDS_MAX = 180.0
HEAL_SECONDS_MAX = 150.0
PAUSE_SECONDS = (0.5, 3.0)
BROKER_POLL_SECONDS = 1.0
TAIL_LOOKS = 3  # the second reads up to where the first found the end


@dataclass(frozen=True)
class Plan:
    """What a run is to do. `faults` are names; none means all. `modules` are the negative controls', by role.

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
    unacknowledged: int = 0
    checker: str = ""


async def run_experiment(plan: Plan, home: Path, report: Report) -> Ending:
    """One run in `home`, from nothing to the verdict."""
    report.begin()
    ending = Ending()
    async with running_system(home, report.log, plan.brokers, plan.modules) as made:
        await until_simulated(made)
        experiment = Experiment(plan, made, report, ending)
        await experiment.run()
        made.has_failed = bool(ending.problems)
    return ending


class Experiment:
    """One experiment on a system that runs."""

    def __init__(self, plan: Plan, system: System, report: Report, ending: Ending) -> None:
        self._plan = plan
        self._system = system
        self._report = report
        self._ending = ending
        self._random = Random(f"{plan.seed}/experiment")
        self._progress = Progress(system)
        self._load = Load(system, plan.seed)

    async def run(self) -> None:
        system, report, ending = self._system, self._report, self._ending
        self._start()
        archive = Archive(system.brokers.bootstrap, PARTITIONS, system.home / "journal.jsonl")
        async with self._running(system.keeper.keep()), self._running(self._keep_brokers()):
            async with self._running(archive.keep()):
                await self._experiment()
            await archive.catch_up()
        ending.pages, ending.requests = self._progress.pages, len(system.produced.places)
        ending.unacknowledged = self._load.unacknowledged
        report.log(f"{ending.pages} pages were committed, {ending.requests} requests acknowledged; the checker reads")
        found, ending.checker = await check(system, system.home / "checker.json")
        ending.problems += found
        print(shortened(ending.checker), flush=True)

    async def _experiment(self) -> None:
        """Load and faults, then quiet and a last sync of everything; no process runs afterwards."""
        system = self._system
        await self._prepare()
        async with self._running(self._progress.watch()):
            async with self._running(self._load.request_continuously()):
                await self._until_page(READY_SECONDS_MAX, "the first page")
                await self._faults()
            await heal_all(system)
            self._ending.problems += await self._until_rest()
        await asyncio.sleep(TAIL_LOOKS * TAIL_SECONDS)  # what processes that were cut off sent last is overtaken
        await system.keeper.stop(*system.instances)

    def _start(self) -> None:
        """One process of each role, or two, as the seed says."""
        for role in ("worker", "fetcher", "projector"):
            for number in range(1, self._random.choice((1, 2)) + 1):
                self._system.instances[f"{role}-{number}"].is_wanted = True
        started = ", ".join(name for name, one in self._system.instances.items() if one.is_wanted)
        self._report.log(
            f"{len(self._system.brokers.nodes)} broker(s), PostgreSQL and the simulator run; now {started}"
        )

    async def _prepare(self) -> None:
        async with asyncio.timeout(READY_SECONDS_MAX):
            await until_prepared(self._system)
        await install_audit(self._system)

    async def _faults(self) -> None:
        kinds, self._ending.skipped = available(self._system, self._plan.faults, self._plan.minutes)
        for name, why in self._ending.skipped.items():
            self._report.log(f"without {name!r}: {why}")
        if not kinds:
            raise ValueError("none of these faults can be had here")
        deadline = asyncio.get_running_loop().time() + self._plan.minutes * 60
        for faults in drawn(kinds, self._plan.seed):
            if asyncio.get_running_loop().time() >= deadline:
                return
            await self._inject(faults)
            if self._ending.problems:
                return  # what follows would be this one's consequence
            await asyncio.sleep(self._random.uniform(*PAUSE_SECONDS))

    async def _inject(self, faults: list[Fault]) -> None:
        """Inject, wait, heal, and wait for the next page."""
        report = self._report
        reports = [FaultReport(fault.name, "", report.now) for fault in faults]
        for one, fault in zip(reports, faults, strict=True):
            one.at = report.now
            one.beside = " and ".join(other.name for other in faults if other is not fault)
            await self._try(one, fault.inject(self._system))
            one.what = fault.what
            report.log(f"{fault.name}: {fault.what}" if fault.what else fault.name)
        await asyncio.sleep(max(self._random.uniform(*fault.seconds) for fault in faults))
        for one, fault in zip(reports, faults, strict=True):
            await self._try(one, fault.heal(self._system))
            one.lasted = report.now - one.at
            one.what = fault.what
        await self._recover(reports)
        report.faults += reports

    async def _try(self, fault: FaultReport, step: Coroutine[Any, Any, None]) -> None:
        """A fault that the harness could not bring about, or take back, is the harness's problem."""
        try:
            async with asyncio.timeout(HEAL_SECONDS_MAX):
                await step
        except Exception as error:
            fault.verdict = f"harness: {error!r}"
            self._ending.problems.append(f"{fault.name} could not be brought about or healed: {error!r}")
            traceback.print_exc()

    async def _recover(self, reports: list[FaultReport]) -> None:
        healed = self._report.now
        problem = await self._until_page(RECOVERY_SECONDS_MAX, "a page after the healing")
        for one in reports:
            if not problem:
                one.mttr_healed, one.mttr_injected = self._report.now - healed, self._report.now - one.at
            one.verdict = one.verdict or problem or "recovered"
        names = " and ".join(one.name for one in reports)
        after = "no page came" if problem else f"next page after {self._report.now - healed:.1f} s"
        details = "; ".join(one.what for one in reports if one.what)
        self._report.log(f"  healed: {names} ({details}); {after}")

    async def _until_page(self, seconds: float, what: str) -> str:
        """Nothing, or what is wrong: nothing was committed for so long."""
        try:
            async with asyncio.timeout(seconds):
                await self._progress.next_page()
        except TimeoutError:
            problem = f"waited {seconds:.0f} s for {what}"
            self._ending.problems.append(problem)
            for line in await self._waiting_runs():
                self._report.log(f"  {line}")
            return problem
        return ""

    async def _until_rest(self) -> list[str]:
        """All runs end; then each organisation is synced once more, since people may have written meanwhile."""
        self._report.log("all is healed, no more requests: waiting for quiet")
        try:
            async with asyncio.timeout(self._plan.quiet_seconds):
                await until_quiet(self._system, self._progress)
            self._report.log("quiet; one last sync of each organisation")
            async with asyncio.timeout(self._plan.quiet_seconds):
                problems = await until_ended(self._system, await self._load.request_all())
                await until_quiet(self._system, self._progress)
        except TimeoutError:
            lines = await self._waiting_runs()
            return [f"not at rest within {self._plan.quiet_seconds:.0f} s", *lines]
        problems += await left_behind(self._system)
        return problems

    async def _waiting_runs(self) -> list[str]:
        try:
            return await waiting(self._system)
        except Exception as error:  # it goes with a problem that is reported already
            return [f"the waiting runs are unknown: {error!r}"]

    async def _keep_brokers(self) -> None:
        """A broker that has ended by itself starts again."""
        while True:
            for node in self._system.brokers.nodes:
                if not node.held and not node.runs:
                    self._report.log(f"{node.name} has ended by itself and starts again")
                    self._system.brokers.launch(node)
            await asyncio.sleep(BROKER_POLL_SECONDS)

    @asynccontextmanager
    async def _running(self, work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
        """The work runs beside; if it ends by itself, that was an error, which is raised at the end."""
        task = asyncio.create_task(work)
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def heal_all(system: System) -> None:
    """Whatever a fault has left behind is put right."""
    system.network.change(system.network.links, "open")
    system.network.swallow(system.network.links, 0, 0)
    for instance in system.instances.values():
        instance.held = False
        system.clocks.move(instance.name, 0)
    for node in system.brokers.nodes:
        node.held = False
        system.clocks.move(node.name, 0)
        system.disks.free(node.home)
    system.disks.free(system.tables)
    signal_postgres(system.postgres, signal.SIGCONT)
    await system.call_simulator("faults/clear", {})
    await system.call_simulator("move/stop", {})
    await system.brokers.until_ready()
