"""The simulator as a process: started by its command, killed, stopped."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

COMMAND = (sys.executable, "-c", "from service.cli.simulate import app; app()", "pco", "--port", "0", "--org", "acme")
AUTH = ("acme", "secret-acme")
PAGE = "/people/v2/people?per_page=100"


@contextmanager
def running(*options: str) -> Iterator[tuple[subprocess.Popen[str], httpx.Client]]:
    with subprocess.Popen((*COMMAND, *options), stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().split()[-1]
            with httpx.Client(base_url=address, auth=AUTH, timeout=30) as client:
                yield process, client
        finally:
            process.kill()


def test_a_killed_simulator_comes_back_with_the_same_data() -> None:
    hashes = []
    for _ in range(2):
        with running() as (_, client):
            hashes.append(client.get("/_sim/expected?org=acme").json())
    assert hashes[0] == hashes[1]


def test_it_stops_cleanly_while_a_request_hangs() -> None:
    with running() as (process, client):
        client.post("/_sim/faults", json={"kind": "hang", "requests": 1})
        with pytest.raises(httpx.ReadTimeout):
            client.get(PAGE, timeout=0.2)
        assert client.get(PAGE).status_code == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0


def test_half_a_body_is_half_a_body() -> None:
    with running() as (_, client):
        client.post("/_sim/faults", json={"kind": "half_body", "requests": 1})
        with pytest.raises(httpx.RemoteProtocolError, match="complete message body"):
            client.get(PAGE)
        assert client.get(PAGE).json()["meta"]["count"] == 100
        counted = client.get("/_sim/counters").json()["orgs"]["acme"]["entities"]["people.person"]
        assert counted["outcomes"] == {"fault:half_body": 1, "200": 1}


def test_the_limit_can_be_taken_off() -> None:
    with running("--no-rate-limit") as (_, client):
        assert {client.get("/people/v2/tabs").status_code for _ in range(120)} == {200}
