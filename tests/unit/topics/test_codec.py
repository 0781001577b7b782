import json

import pytest

from agents.kinds import SHIPPED
from topics.catalog import COMMAND_BYTES_MAX
from topics.codec import Headers, encode, headers, trace_in, trace_of
from topics.command import TimerDue
from topics.errors import Rejected
from topics.kinds.sync import StartSync

DUE = TimerDue(workflow="w", due=5)
START = {"org": "acme", "adapter": "pco", "type": "full"}


def rejection(topic: str, value: bytes | None, *heads: tuple[str, bytes | None]) -> str:
    with pytest.raises(Rejected) as caught:
        SHIPPED.decode(topic, value, heads)
    return str(caught.value)


def test_fields_that_are_none_are_not_encoded() -> None:
    assert b"request_id" not in encode(StartSync(**START))


@pytest.mark.parametrize(
    ("topic", "value", "why"),
    [
        ("nothing", b"{}", "topic 'nothing' carries no commands"),
        ("dead-letters", b"{}", "topic 'dead-letters' carries no commands"),
        ("start-sync", None, "the message is empty: start-sync takes a JSON object"),
        ("start-sync", b"", "the message is empty: start-sync takes a JSON object"),
        ("start-sync", b" " * (COMMAND_BYTES_MAX + 1), "the message has 64001 bytes; start-sync takes at most 64000"),
        ("start-sync", b"start acme", "not a start-sync command: message: Invalid JSON"),
        ("start-sync", b'{"org":"\xff"}', "not a start-sync command: message: Invalid JSON"),
        ("start-sync", b"[" * 60_000, "not a start-sync command: message: Invalid JSON"),
        ("start-sync", b'["acme"]', "not a start-sync command: message: Input should be an object"),
        ("start-sync", b"{}", "org: Field required; adapter: Field required; type: Field required"),
        ("start-sync", json.dumps({**START, "org": 7}).encode(), "org: Input should be a valid string"),
        ("control", b'{"workflow":"w"}', "Unable to extract tag using discriminator 'kind'"),
        ("control", b'{"kind":"party","workflow":"w"}', "does not match any of the expected tags"),
        ("control", b'{"kind":"timer-due","workflow":"\\ud800","due":1}', "Invalid JSON"),
        ("control", b'{"kind":"timer-due","workflow":"w","due":1e400}', "due"),
    ],
)
def test_what_is_no_command_is_rejected_with_the_place(topic: str, value: bytes | None, why: str) -> None:
    assert why in rejection(topic, value)


def test_of_many_problems_the_first_are_shown_and_the_others_counted() -> None:
    assert rejection("fetch-page", b"{}").endswith("; and 6 more")


@pytest.mark.parametrize("heads", [(), headers(DUE, trace_of("run"), "w1")])
def test_a_message_is_read_with_the_headers_of_this_version_and_without_any(heads: Headers) -> None:
    assert SHIPPED.decode("control", encode(DUE), heads) == DUE


@pytest.mark.parametrize("version", [b"2", b"0", b"-1", b"", b"one", "²".encode(), b"9" * 5_000, None])
def test_a_version_that_is_not_known_is_rejected(version: bytes | None) -> None:
    why = rejection("control", encode(DUE), ("sluice-schema", version))
    assert "of control is not known here (newest known: 1)" in why
    assert len(why) < 200


def test_the_headers_name_the_command_its_version_its_run_and_its_sender() -> None:
    found = dict(headers(DUE, trace_of("run"), "worker-1"))
    assert found == {
        "sluice-id": DUE.id.encode(),
        "sluice-schema": b"1",
        "traceparent": f"00-{trace_of('run')}-{DUE.id[:16]}-01".encode(),
        "sluice-sent-by": b"worker-1",
    }


def test_a_trace_continues_through_the_headers() -> None:
    assert trace_in(headers(DUE, trace_of("run"), "w1")) == trace_of("run")


@pytest.mark.parametrize("content", [b"", b"00-x-y-01", b"00-" + b"\xff" * 32 + b"-" + b"0" * 16 + b"-01", None])
def test_a_traceparent_that_is_none_begins_no_trace(content: bytes | None) -> None:
    assert trace_in([("traceparent", content)]) is None
