"""Messages and records as they were once written: they are read for ever, and their ids never change.

The files in tests/golden are only ever added. One that cannot be read any more means that a running installation
loses its memory with the upgrade: write a version step, and leave the file as it is. What is new gets a file of its
own, with the next number.
"""

import json
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from tables.catalog import State, read_row
from tables.row import due_of, encode_row, guard_of
from topics.catalog import TOPICS
from topics.codec import decode

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
MESSAGES = sorted((GOLDEN / "topics").glob("*.json"))
RECORDS = sorted((GOLDEN / "rows").glob("*.bin"))
HEAD_BYTES = 24
WRITTEN = {
    "action-complete-1.json", "cancel-run-1.json", "child-done-1.json", "fetch-page-1.json", "fetch-page-2.json",
    "nudge-1.json", "outnumbered-1.json", "page-done-1.json", "page-done-2.json", "run-action-1.json",
    "start-entity-1.json", "start-sync-1.json", "timer-due-1.json", "entity-1.bin", "sync-1.bin",
}  # fmt: skip


def name_of(file: Path) -> str:
    return file.stem


@pytest.mark.parametrize("file", MESSAGES, ids=name_of)
def test_a_message_says_what_it_always_said(file: Path) -> None:
    golden = json.loads(file.read_text())
    command = decode(golden["topic"], golden["value"].encode())
    assert (command.id, command.key) == (golden["id"], golden["key"])
    assert json.loads(golden["value"]).items() <= command.model_dump(mode="json").items()


@pytest.mark.parametrize("file", RECORDS, ids=name_of)
def test_a_record_remembers_what_it_always_remembered(file: Path) -> None:
    value = file.read_bytes()
    row = read_row(value)
    assert (due_of(value), guard_of(value)) == (row.due, guard_of(encode_row(row)))
    check_kept(msgspec.json.decode(value[HEAD_BYTES:]), msgspec.json.decode(encode_row(row)[HEAD_BYTES:]))


def check_kept(before: Any, after: Any) -> None:
    """Everything in the document `before` is in `after`, too."""
    if isinstance(before, dict):
        for name, value in before.items():
            check_kept(value, after[name])
    else:
        assert after == before


def test_every_kind_of_command_has_a_golden_message() -> None:
    written = [json.loads(file.read_text()) for file in MESSAGES]
    seen = {type(decode(golden["topic"], golden["value"].encode())) for golden in written}
    assert seen == {model for spec in TOPICS for model in spec.commands}


def test_every_kind_of_state_has_a_golden_record() -> None:
    assert {type(read_row(file.read_bytes()).state) for file in RECORDS} == set(get_args(State))


def test_no_golden_file_is_ever_taken_away() -> None:
    assert {file.name for file in (*MESSAGES, *RECORDS)} >= WRITTEN
