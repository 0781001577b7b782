"""PostgreSQL: killed, frozen, its sessions ended, its answers lost."""

import asyncio
import signal

from tests.chaos.faults.fault import Fault
from tests.chaos.system import System, signal_postgres

COMMIT_BYTES_MIN = 1_500  # a request that long carries rows, so its answer is a commit's
ANSWERS_LOST = 2  # on each way to the server
END_SESSIONS = """select pg_terminate_backend(pid) from pg_stat_activity
    where datname = current_database() and pid <> pg_backend_pid()"""


class KillPostgres(Fault):
    """kill -9 of the server with all its processes, and back."""

    name, touches = "kill PostgreSQL", frozenset({"postgres"})
    seconds = (1.0, 8.0)

    async def inject(self, system: System) -> None:
        await asyncio.to_thread(system.postgres.kill)

    async def heal(self, system: System) -> None:
        await asyncio.to_thread(system.postgres.start)


class FreezePostgres(Fault):
    """SIGSTOP of the server with all its processes: connections stay, and nothing answers."""

    name, touches = "freeze PostgreSQL", frozenset({"postgres"})
    seconds = (5.0, 20.0)

    async def inject(self, system: System) -> None:
        signal_postgres(system.postgres, signal.SIGSTOP)

    async def heal(self, system: System) -> None:
        signal_postgres(system.postgres, signal.SIGCONT)


class FreezePostgresLong(FreezePostgres):
    """The same for a minute."""

    name = "freeze PostgreSQL for a minute"
    seconds = (60.0, 60.0)


class EndSessions(Fault):
    """Every session is terminated by an administrator, a few times in a row."""

    name, touches = "terminate all backends", frozenset({"postgres"})
    seconds = (0.0, 0.0)

    async def inject(self, system: System) -> None:
        for _ in range(self.random.randint(1, 4)):
            await system.query(END_SESSIONS)
            await asyncio.sleep(self.random.uniform(0.1, 1.0))


class LoseCommitAnswers(Fault):
    """The commit has happened, the connection breaks before the answer: nobody knows."""

    name, touches = "unknown outcome at COMMIT", frozenset({"postgres"})
    seconds = (2.0, 5.0)

    async def inject(self, system: System) -> None:
        self._swallow(system, ANSWERS_LOST)

    async def heal(self, system: System) -> None:
        self._swallow(system, 0)

    def _swallow(self, system: System, answers: int) -> None:
        for name in system.instances:
            system.network.swallow(system.network.between(name, "postgres"), answers, COMMIT_BYTES_MIN)
