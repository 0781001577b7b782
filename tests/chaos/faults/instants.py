"""Named instants of our own code, reached exactly: SLUICE_FAILPOINTS."""

from random import Random
from typing import ClassVar

from service.settings import Settings, variable
from tests.chaos.faults.fault import Fault, variant
from tests.chaos.processes import Instance
from tests.chaos.records import Sent, write
from tests.chaos.system import System
from topics.codec import encode
from topics.command import RetryNow

SETTING = "failpoints"
ARRIVALS_MAX = 6
POINTS = {
    "worker": ("after_store", "after_changelog", "after_flush"),
    "fetcher": ("after_fetch", "after_db_commit", "after_report"),
}


class Failpoint(Fault):
    """A process is started again so that it fails at a certain instant, once; after that, as usual."""

    point: ClassVar[str]
    role: ClassVar[str]
    action: ClassVar[str] = "crash"
    seconds = (4.0, 8.0)
    victim: Instance | None = None

    def __init__(self, random: Random) -> None:
        super().__init__(random)
        self.order = f"{self.point}={self.action}@{random.randint(1, ARRIVALS_MAX)}"

    async def inject(self, system: System) -> None:
        self.victim = system.pick(self.random, self.role)
        self.what = f"{self.victim.name}, {self.order}"
        self.victim.once = {variable(SETTING): self.order}
        self.victim.kill()

    async def heal(self, system: System) -> None:
        """A process that has not come to the instant starts again without it."""
        if self.victim is None:
            return
        self.victim.once = {}
        self.victim.kill()

    @classmethod
    def why_not(cls, system: System) -> str:
        return "" if SETTING in Settings.model_fields else "this build has no failpoints"


class LostMessage(Failpoint):
    """A message is swallowed on its way. A deadline would send it again within minutes; an operator does at once."""

    action = "drop"

    async def heal(self, system: System) -> None:
        await super().heal(system)
        keys = [f"main-sync:{org}:pco:full" for org in system.orgs]
        retries = [RetryNow(workflow=key, request_id=f"{self.name}-{self.random.random()}") for key in keys]
        await write(system.brokers.bootstrap, [Sent(RetryNow.topic, one.key.encode(), encode(one)) for one in retries])


INSTANTS: tuple[type[Fault], ...] = (
    *(
        variant(
            Failpoint,
            f"crash {point.replace('_', ' ')}",
            role=role,
            point=point,
            touches=frozenset({role, "kafka"}),
        )
        for role, points in POINTS.items()
        for point in points
    ),
    variant(LostMessage, "page-done lost", role="fetcher", point="report", touches=frozenset({"fetcher", "kafka"})),
    variant(
        LostMessage, "outputs of a decision lost", role="worker", point="emit", touches=frozenset({"worker", "kafka"})
    ),
)
