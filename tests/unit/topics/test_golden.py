"""Messages and records as they were once written: they are read for ever, and their ids never change.

The files in tests/golden are only ever added. One that cannot be read any more means that a running installation
loses its memory with the upgrade: write a version step, and leave the file as it is. What is new gets a file of its
own, with the next number.
"""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agents.kinds import SHIPPED
from tables.requests import decode_requests, encode_requests
from tables.row import encode_row
from topics.command import Command

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
MESSAGES = sorted((GOLDEN / "topics").glob("*.json"))
RECORDS = sorted((GOLDEN / "rows").glob("*.bin"))
REQUESTS = sorted((GOLDEN / "requests").glob("*.bin"))
HEAD_BYTES = 24
READ_AS: dict[str, dict[str, Any]] = {  # by file, what a version step makes of its message
    "run-action-1": {"step": "done", "input": {"outcome": "done"}},
    "action-complete-1": {
        "step": "done",
        "result": {"outcome": "done", "pages": 40, "records": 3999, "rejected": 1},
        "error": None,
    },
}
WRITTEN = {
    "action-complete-1", "action-complete-2", "action-complete-3", "cancel-run-1", "child-done-1", "fetch-page-1",
    "fetch-page-2", "nudge-1", "nudge-2", "outnumbered-1", "page-done-1", "page-done-2", "page-done-3",
    "run-action-1", "run-action-2", "start-entity-1", "start-sync-1", "timer-due-1", "entity-1", "entity-2",
    "sync-1", "sync-2", "request-log-1",
}  # fmt: skip


def name_of(file: Path) -> str:
    return file.stem


def read(file: Path) -> tuple[dict[str, str], Command]:
    golden = json.loads(file.read_text())
    return golden, SHIPPED.decode(golden["topic"], golden["value"].encode())


@pytest.mark.parametrize("file", MESSAGES, ids=name_of)
def test_a_message_says_what_it_always_said(file: Path) -> None:
    golden, command = read(file)
    assert (command.id, command.key) == (golden["id"], golden["key"])
    fields, is_upgraded = command.model_dump(mode="json"), file.stem in READ_AS
    said = {name: value for name, value in json.loads(golden["value"]).items() if name in fields or not is_upgraded}
    assert fields.items() >= (said | READ_AS.get(file.stem, {})).items()


@pytest.mark.parametrize("file", [*RECORDS, *REQUESTS], ids=name_of)
def test_a_record_remembers_what_it_always_remembered(file: Path) -> None:
    value, is_log = file.read_bytes(), file in REQUESTS
    again = encode_requests(decode_requests(value)) if is_log else encode_row(SHIPPED.read_row(value))
    assert again[:HEAD_BYTES] == value[:HEAD_BYTES]
    check_kept(msgspec.json.decode(value[HEAD_BYTES:]), msgspec.json.decode(again[HEAD_BYTES:]))


def check_kept(before: Any, after: Any) -> None:
    """Everything in the document `before` is in `after`, too; a list may have got longer."""
    if isinstance(before, dict):
        for name, value in before.items():
            check_kept(value, after[name])
    elif isinstance(before, list):
        for number, value in enumerate(before):
            check_kept(value, after[number])
    else:
        assert after == before


def test_every_kind_of_command_has_a_golden_message() -> None:
    known = {model for models in SHIPPED.catalog.commands.values() for model in models}
    assert {type(read(file)[1]) for file in MESSAGES} == known


def test_every_kind_of_state_has_a_golden_record() -> None:
    states = {type(SHIPPED.read_row(file.read_bytes()).state) for file in RECORDS}
    assert states == {kind.state for kind in SHIPPED.kinds.values()}


def test_no_golden_file_is_ever_taken_away() -> None:
    assert {file.stem for file in (*MESSAGES, *RECORDS, *REQUESTS)} >= WRITTEN
