"""The simulator as a process: started by its command, misbehaving as ordered, stopped."""

import signal
import subprocess
import sys

import httpx
import pytest

COMMAND = (sys.executable, "-c", "from service.cli.simulate import app; app()", "pco", "--port", "0", "--org", "acme")
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
