"""Messages, dead letters, stores and published state that are in order or not, by invariant."""

import json
from typing import Any

from msgspec.structs import replace

from tests.checker.builders import (
    KEY,
    MAIN,
    RUN,
    RUN_ID,
    at,
    entry,
    event,
    main_sync,
    whole_run,
)
from tests.checker.entries import Entry, Newest
from tests.checker.evidence import Evidence
from tests.checker.formats import HEAD
from tests.checker.invariants.copies import columns_of
from tests.checker.messages import derived_id, letter
from tests.checker.values import Action, Letter, Message, SentCommand, Store

FIRST, SECOND, _ = whole_run().journal
ASK = {"org": "acme", "adapter": "pco", "type": "full"}
START = Message("start-sync", 0, 7, None, json.dumps(ASK).encode(), 9)
NO_START = replace(START, value=b"start acme please")
ID = derived_id("start-sync", MAIN, "start-sync/0/7/9")
RETRY = Message("control", 0, 9, None, json.dumps({"workflow": KEY, "kind": "nudge", "request_id": "n"}).encode())
LETTER = Letter(0, 0, START.origin, "no such adapter", None, START.value)
SENT_ON = letter(
    3, 0, None, json.dumps({**ASK, "request_id": "start-sync/0/7/9"}).encode(),
    [("sluice-dead-topic", b"start-sync"), ("sluice-dead-reason", b"not served here")],
)  # fmt: skip
REFUSED = replace(LETTER, value=json.dumps({**ASK, "on_conflict": "reject"}).encode())
EVENT = (MAIN, 5, 1, ID, "started", "start-sync/0/7/9", f"{MAIN}@5")
RETRIED = (KEY, 9, 9, derived_id("control", "nudge", KEY, "n"), "retried", "n", RUN_ID)
NO_EVENTS = frozenset[Any]()
POISONED = {START.origin: "no adapter"}
FULL = tuple(event(number) for number in range(5, 21))
LOGGED: dict[str, Any] = {"events": NO_EVENTS, "request_ids": {MAIN: {ID[:16]}}}
COMMAND = SentCommand(("fetch-page", 0, 1), b"d", "a")
ACTION = Action(KEY, RUN, "finish-run", "done")


def asked(**more: Any) -> Evidence:
    """A start led to something, if nothing else is given."""
    return whole_run(**{"starts": [START], "events": frozenset({EVENT}), **more})


def going(second: Entry = SECOND, **more: Any) -> Evidence:
    """A retry was acknowledged while the entity was under way."""
    return asked(journal=[FIRST, second], produced=[RETRY], **more)


def letters(*some: Letter, poison: dict[Any, str] = POISONED) -> Evidence:
    return asked(letters=list(some), poison=poison)


def record(seq: int, **state: object) -> bytes:
    known = {"kind": "sync", **ASK, "request": "r", "started_at": 5, **state}
    return HEAD.pack(1, seq, 0) + json.dumps({"generation": 1, "seq": seq, "state": known}).encode()


def stored(position: int | None, value: bytes) -> Evidence:
    store = Store("workflows-0.db", 0, position, {KEY.encode(): value})
    return whole_run(stores=[store], folded={0: {KEY.encode(): record(2)}}, position={0: 9})


def compacted(value: bytes | None) -> Evidence:
    """Kafka has this as the key's last record."""
    key = KEY.encode()
    return whole_run(folded={0: {key: record(2)}}, last={0: {key: value, b"retired": None}}, cut_off=1)


def summed(records: int) -> Evidence:
    """A main sync that says so of its entity."""
    child = {"status": "done", "run_id": RUN_ID, "pages": 2, "records": records}
    return whole_run(newest={"m@5": Newest(MAIN, 1, 2, record(2, children={"people.person": child}))})


NEWEST = Newest(MAIN, 1, 2, record(2, children={"a": {"pages": 2}, "b": {"pages": 3}}))
COLUMNS = {"run_id": "r@5", **columns_of(NEWEST)}


def published(*tables: str, newest: Newest | None = NEWEST, **columns: object) -> Evidence:
    """The run in these tables, with other columns in the last one."""
    lines = {(name, "r@5"): {**COLUMNS, **(columns if name == tables[-1] else {})} for name in tables}
    return whole_run(newest={"r@5": newest} if newest else {}, published=lines)


TABLE, VIEW = "sluice_workflow_runs", "sluice_sync_runs"
RIGHT: dict[str, list[Evidence]] = {
    "no-command-is-lost": [
        asked(),
        asked(starts=[NO_START], letters=[LETTER]),
        asked(events=NO_EVENTS, letters=[SENT_ON]),
        asked(**LOGGED, journal=[main_sync(entry(20, history=FULL))]),  # forgotten by a history that is full
        asked(produced=[START]),
        going(events=frozenset({EVENT, RETRIED})),
        going(letters=[replace(LETTER, origin=RETRY.origin)]),
        going(replace(SECOND, last_offset=at(control=9, page_done=0))),
        asked(produced=[RETRY]),  # its run has ended
    ],
    "ids-are-derived": [whole_run(sent=[COMMAND, replace(COMMAND, origin=("fetch-page", 0, 2))])],
    "results-answer-an-action": [whole_run(action_results={(0, 3): ACTION}, actions={ACTION.about})],
    "poison-is-a-dead-letter-once": [
        letters(LETTER),
        letters(LETTER, replace(LETTER, offset=1)),
        letters(SENT_ON),
        letters(REFUSED, poison={}),
    ],
    "main-syncs-add-up-their-entities": [summed(12)],
    "stores-equal-the-journal": [stored(9, record(2)), stored(8, record(1)), stored(None, record(1))],  # two are behind
    "compaction-keeps-what-counts": [compacted(record(2))],
    "published-is-the-journal": [published(TABLE, VIEW), published(TABLE, VIEW, superseded_by="x")],
    "timeline-is-the-journal": [asked(timeline=[EVENT])],
}
WRONG: dict[str, list[tuple[Evidence, str]]] = {
    "no-command-is-lost": [
        (asked(events=NO_EVENTS), "left no trace"),
        (asked(starts=[NO_START]), "left no trace"),
        (asked(**LOGGED, journal=[main_sync(entry(20, history=FULL[1:]))]), "left no trace"),
        (asked(events=NO_EVENTS, journal=[main_sync(entry(20, history=FULL))]), "left no trace"),
        (asked(produced=[replace(START, offset=8)]), "is not in its topic"),
        (asked(produced=[replace(START, value=b"{}")]), "another message stands"),
        (going(), "left no trace"),
    ],
    "ids-are-derived": [
        (
            whole_run(sent=[COMMAND, replace(COMMAND, origin=("f", 0, 3), id="b")]),
            "f 0/3 says what fetch-page 0/1 says",
        ),
        (whole_run(sent=[replace(COMMAND, derived="c")]), "what it says makes it c"),
    ],
    "results-answer-an-action": [
        (whole_run(action_results={(0, 3): replace(ACTION, attempt=2)}, actions={ACTION.about}), "action-complete 0/3"),
    ],
    "poison-is-a-dead-letter-once": [
        (letters(LETTER, replace(LETTER, offset=1, value=b"else")), "not the same"),
        (letters(), "start-sync 0/7 (no adapter) has no dead letter"),
        (letters(LETTER, poison={}), "although nothing was wrong with it"),
        (letters(replace(LETTER, reason="")), "gives no reason"),
    ],
    "main-syncs-add-up-their-entities": [(summed(13), "says (2, 12, 0)")],
    "stores-equal-the-journal": [(stored(9, record(1)), "the store has epoch 1, seq 1, the journal epoch 1, seq 2")],
    "compaction-keeps-what-counts": [
        (compacted(record(1)), "its last record is epoch 1, seq 1, the newest that counts epoch 1, seq 2"),
        (compacted(None), "its last record is nothing"),
    ],
    "published-is-the-journal": [
        (published(TABLE, VIEW, seq=1), "r@5: sluice_sync_runs has seq 1, the journal 2"),
        (published(TABLE), "r@5 is in the journal and not in sluice_sync_runs"),
        (published(TABLE, newest=None), "r@5 is in sluice_workflow_runs, and no record of the journal knows it"),
        (replace(published(), published={(TABLE, "r@5"): {"run_id": "r@5"}}), "r@5: its details is nowhere published"),
    ],
    "timeline-is-the-journal": [
        (asked(), "not in the timeline"),
        (asked(timeline=[EVENT, (*EVENT[:4], "else", *EVENT[5:])]), "no record of the journal has it"),
        (asked(timeline=[EVENT, (*EVENT[:6], f"{MAIN}@6")]), "no record of the journal has it"),
        (asked(timeline=[EVENT, (KEY, *EVENT[1:])]), "no record of the journal has it"),
    ],
}
