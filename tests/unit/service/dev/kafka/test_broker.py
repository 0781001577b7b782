import os
import socket
from pathlib import Path

import pytest

from service.clock import SystemClock
from service.dev.kafka import broker as module
from service.dev.kafka.broker import find, start
from service.dev.kafka.properties import server_properties
from tests.support.kafka import free_port
from topics.errors import Rejected

FORMATS = 'case "$*" in *StorageTool*) mkdir "$(dirname "$0")/data.partial"; exit 0;; esac\n'


def java_that(script: str, home: Path) -> Path:
    java = home / "java"
    java.write_text(f"#!/bin/sh\n{script}\n")
    java.chmod(0o755)
    return java


async def start_with(java: Path, port: int | None = None) -> None:
    await start(java.parent, port or free_port(), java, java.parent / "jars", print, SystemClock())


@pytest.mark.parametrize(
    "record",
    [None, "", "{", '{"pid": "x"}', "17", f'{{"pid": {os.getpid()}, "port": 9092}}'],
    ids=["none", "empty", "cut", "a pid of letters", "a number", "another program's pid"],
)
def test_without_a_record_or_with_one_that_is_broken_or_of_another_program_no_broker_is_found(
    record: str | None, tmp_path: Path
) -> None:
    if record is not None:
        (tmp_path / "broker.json").write_text(record)
    assert find(tmp_path) is None


@pytest.mark.parametrize("distance", [0, 1], ids=["port", "controller_port"])
async def test_a_taken_port_is_named(distance: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PORTS_SECONDS_MAX", 0)
    port = free_port()
    why = rf"port {port + distance} on 127.0.0.1 cannot be used.*set SLUICE_KAFKA_PORT"
    with socket.create_server(("127.0.0.1", port + distance)), pytest.raises(Rejected, match=why):
        await start_with(java_that("exit 0", tmp_path), port)


async def test_a_format_that_fails_says_why_and_leaves_no_data(tmp_path: Path) -> None:
    with pytest.raises(Rejected, match="could not be formatted: no such class"):
        await start_with(java_that("echo no such class; exit 1", tmp_path))
    assert not (tmp_path / "data").exists()


async def test_a_broker_that_ends_at_once_leaves_its_last_line(tmp_path: Path) -> None:
    script = FORMATS + "echo 'ERROR disk on fire' >&2\necho '  at java.base/Thread.run' >&2\nexit 1"
    with pytest.raises(
        Rejected, match=r"the broker ended while it started; .*broker.log ends with: ERROR disk on fire$"
    ):
        await start_with(java_that(script, tmp_path))
    assert find(tmp_path) is None


def test_the_broker_listens_on_loopback_only() -> None:
    text = server_properties(Path("/data"), 9092)
    assert "listeners=PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093\n" in text


def test_a_path_outside_ascii_is_escaped_as_java_reads_it() -> None:
    assert "log.dirs=/home/J\\u00f6rg/data\n" in server_properties(Path("/home/Jörg/data"), 9092)


def test_a_path_with_a_comma_is_rejected_because_kafka_would_read_two() -> None:
    with pytest.raises(Rejected, match="its path has a comma; set SLUICE_HOME"):
        server_properties(Path("/a,b/data"), 9092)
