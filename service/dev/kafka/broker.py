"""Process of the embedded broker: it outlives the command that started it, and has its data in one directory.

The directory (`home`, an absolute path) holds data/, server.properties, broker.json (process and port) and broker.log.
The log has warnings and errors only; each start renames the previous one to broker.log.old.
"""

import asyncio
import base64
import secrets
import shutil
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

import msgspec

from service.clock import Clock
from service.dev import Say
from service.dev.kafka import process
from service.dev.kafka.properties import CONTROLLER_PORT_OFFSET, server_properties
from service.kafka.cluster import answers
from service.lock import held
from topics.errors import Rejected, Retryable

HEAP_MIN = "64m"
HEAP_MAX = "512m"
START_SECONDS_MAX = 90  # mostly a few seconds; after a kill the broker reads its newest segments again
FORMAT_SECONDS_MAX = 90
STOP_SECONDS_MAX = 30
PORTS_SECONDS_MAX = 3
LOCK_SECONDS_MAX = START_SECONDS_MAX + FORMAT_SECONDS_MAX
POLL_SECONDS = 0.1
LOG_LINES_SHOWN_MAX = 3
LOG_BYTES_READ_MAX = 16_384


@dataclass(frozen=True, slots=True)
class Broker:
    """A broker process as it was started; `find` says whether it still runs."""

    home: Path
    pid: int
    port: int

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def mark(self) -> str:
        """Text that no other process has in its command line."""
        return str(self.home / "server.properties")


class Record(msgspec.Struct, frozen=True):
    """broker.json."""

    pid: int
    port: int


def log_of(home: Path) -> Path:
    return home / "broker.log"


def find(home: Path) -> Broker | None:
    """The broker that runs in `home`; not a killed one, nor another program that has its process id."""
    try:
        record = msgspec.json.decode((home / "broker.json").read_bytes(), type=Record)
    except (OSError, msgspec.DecodeError):
        return None
    broker = Broker(home, record.pid, record.port)
    return broker if process.is_running(broker.pid, broker.mark) else None


async def start(home: Path, port: int, java: Path, jars: Path, say: Say, clock: Clock) -> Broker:
    """Run a broker in `home` (a directory that exists) and wait until it answers; one that runs already is used.

    Rejected if a port is in use or the broker ends while it starts; Retryable if it is not ready within
    START_SECONDS_MAX (it keeps running, and may be ready at the next try).
    """
    async with held(home / "broker.lock", LOCK_SECONDS_MAX, clock):
        broker = find(home)
        if broker is None:
            await _wait_for_ports(port, clock)
            await format_data(home, port, java, jars, say)
            broker = _launch(home, port, java, jars)
        elif broker.port != port:
            raise Rejected(
                f"the broker in {home} runs on port {broker.port}, not {port}: "
                f"`sluice kafka down` first, or set SLUICE_KAFKA_PORT={broker.port}"
            )
        await _wait_until_ready(broker, clock)
    return broker


async def format_data(home: Path, port: int, java: Path, jars: Path, say: Say) -> None:
    """Create data/ if it is missing, under another name first: it is never incomplete. Errors as of `start`."""
    data, partial = home / "data", home / "data.partial"
    if data.exists():
        return
    say(f"formatting the broker's data directory {data}")
    shutil.rmtree(partial, ignore_errors=True)
    properties = home / "format.properties"
    properties.write_text(server_properties(partial, port))
    try:
        await asyncio.to_thread(_run_storage_tool, java, jars, properties)
    except subprocess.CalledProcessError as error:
        output = _last_lines(error.stdout)
        raise Rejected(f"the broker's data directory {data} could not be formatted: {output}") from None
    except subprocess.TimeoutExpired:
        raise Retryable(
            f"formatting {data} took over {FORMAT_SECONDS_MAX} s: the machine may be busy, try again"
        ) from None
    partial.replace(data)
    properties.unlink()


async def stop(broker: Broker, clock: Clock) -> bool:
    """End the broker, by force after STOP_SECONDS_MAX; return whether it ended by itself. Its data are kept."""
    async with held(broker.home / "broker.lock", LOCK_SECONDS_MAX, clock):
        ended = await process.end(broker.pid, broker.mark, STOP_SECONDS_MAX, clock)
        (broker.home / "broker.json").unlink(missing_ok=True)
    return ended


async def kill(broker: Broker, clock: Clock) -> None:
    """End the broker as a power cut would: nothing is flushed, broker.json is left. For tests."""
    await process.kill(broker.pid, broker.mark, clock)


async def _wait_for_ports(port: int, clock: Clock) -> None:
    """A broker that was just killed may hold its ports a moment longer."""
    deadline = clock.monotonic() + PORTS_SECONDS_MAX
    for each in (port, port + CONTROLLER_PORT_OFFSET):
        while (problem := _port_problem(each)) is not None:
            if clock.monotonic() >= deadline:
                raise Rejected(
                    f"port {each} on 127.0.0.1 cannot be used ({problem}); the broker needs {port} and "
                    f"{port + CONTROLLER_PORT_OFFSET}: end what uses it, or set SLUICE_KAFKA_PORT to another one"
                )
            await asyncio.sleep(POLL_SECONDS)


def _port_problem(port: int) -> str | None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            return error.strerror
    return None


def _run_storage_tool(java: Path, jars: Path, properties: Path) -> None:
    tool: list[str | Path] = [java, "-XX:TieredStopAtLevel=1", "-cp", f"{jars}/*", "kafka.tools.StorageTool"]
    subprocess.run(
        [*tool, "format", "--standalone", "-t", _cluster_id(), "-c", properties],
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=FORMAT_SECONDS_MAX,
    )


def _cluster_id() -> str:
    """A random id: data that were lost and created anew are another cluster. Kafka expects 16 bytes in base 64.

    The first bit is 0, so that the id never starts with a dash, which would be read as an option.
    """
    drawn = secrets.token_bytes(16)
    return base64.urlsafe_b64encode(bytes([drawn[0] & 0x7F]) + drawn[1:]).rstrip(b"=").decode()


def _launch(home: Path, port: int, java: Path, jars: Path) -> Broker:
    properties, log = home / "server.properties", log_of(home)
    properties.write_text(server_properties(home / "data", port))
    if log.exists():
        log.replace(home / "broker.log.old")
    command: list[str | Path] = [
        java,
        f"-Xms{HEAP_MIN}",
        f"-Xmx{HEAP_MAX}",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
        "-cp",
        f"{jars}/*",
        "kafka.Kafka",
        properties,
    ]
    broker = Broker(home, process.launch(command, log), port)
    written = home / "broker.json.new"
    written.write_bytes(msgspec.json.encode(Record(broker.pid, port)))
    written.replace(home / "broker.json")
    return broker


async def _wait_until_ready(broker: Broker, clock: Clock) -> None:
    deadline = clock.monotonic() + START_SECONDS_MAX
    while not await answers(broker.bootstrap):
        if not process.is_running(broker.pid, broker.mark):
            log = log_of(broker.home)
            raise Rejected(f"the broker ended while it started; {log} ends with: {_last_lines(_tail(log))}")
        if clock.monotonic() >= deadline:
            raise Retryable(
                f"the broker (process {broker.pid}) has not answered on {broker.bootstrap} for {START_SECONDS_MAX} s; "
                f"it may only be slow: try again, or see {log_of(broker.home)}"
            )
        await asyncio.sleep(POLL_SECONDS)


def _tail(log: Path) -> bytes:
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - LOG_BYTES_READ_MAX))
            return file.read(LOG_BYTES_READ_MAX)
    except OSError:
        return b""


def _last_lines(output: bytes) -> str:
    lines = [line.strip() for line in output.decode(errors="replace").splitlines()]
    relevant = [line for line in lines if line and not line.startswith("at ")]  # "at …": Java's stack traces
    return " | ".join(relevant[-LOG_LINES_SHOWN_MAX:]) or "(nothing)"
