"""The simulator as a process: started by its command, misbehaving as ordered, stopped."""

import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import httpx
import pytest

COMMAND = (sys.executable, "-c", "from service.cli.simulate import app; app()", "pco", "--port", "0", "--org", "acme")
LIFE = ("--inserts-per-second", "100", "--living", "people.person", "--late-seconds", "0.1", "--late-share", "0.5")
LIES = ("--clock-error-seconds", "-3600", "--fault", '{"kind": "forbidden", "entity": "people.email"}')
AUTH = ("acme", "secret-acme")
PAGE = "/people/v2/people?per_page=100"


def test_half_a_body_is_half_a_body_and_it_stops_cleanly_while_a_request_hangs() -> None:
    with subprocess.Popen(COMMAND, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().split()[-1]
            with httpx.Client(base_url=address, auth=AUTH, timeout=30) as client:
                client.post("/_sim/faults", json={"kind": "half_body", "requests": 1})
                with pytest.raises(httpx.RemoteProtocolError, match="complete message body"):
                    client.get(PAGE)
                assert client.get(PAGE).json()["meta"]["count"] == 100
                counted = client.get("/_sim/counters").json()["orgs"]["acme"]["entities"]["people.person"]
                assert counted["outcomes"] == {"fault:half_body": 1, "200": 1}
                client.post("/_sim/faults", json={"kind": "hang", "requests": 1})
                with pytest.raises(httpx.ReadTimeout):
                    client.get(PAGE, timeout=0.2)
                assert client.get(PAGE).status_code == 200
                process.send_signal(signal.SIGTERM)
                assert process.wait(timeout=30) == 0
        finally:
            process.kill()


def test_it_lives_and_lies_from_the_start_on_as_its_options_say() -> None:
    with subprocess.Popen((*COMMAND, *LIFE, *LIES), stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().split()[-1]
            with httpx.Client(base_url=address, auth=AUTH, timeout=30) as client:
                assert client.get("/people/v2/emails").status_code == 403
                started = client.get(PAGE)
                assert parsedate_to_datetime(started.headers["date"]) < datetime.now(UTC) - timedelta(minutes=59)
                while client.get(PAGE).json()["meta"]["total_count"] <= started.json()["meta"]["total_count"]:
                    time.sleep(0.05)
                done = client.post("/_sim/life/stop").json()["orgs"]["acme"]
                assert done["people.person"]["insert"] > 0
        finally:
            process.kill()
