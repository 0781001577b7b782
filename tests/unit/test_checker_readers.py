from dataclasses import dataclass, field
from pathlib import Path

import pytest
import rocksdict

from tests.checker.__main__ import arguments, report
from tests.checker.builders import KEY, whole_run
from tests.checker.check import INVARIANTS, examine
from tests.checker.evidence import Served
from tests.checker.formats import HEAD
from tests.checker.kafka_log import JOURNAL, TopicsReader
from tests.checker.layouts import read_layouts
from tests.checker.source import read_served
from tests.checker.stores import POSITION, read_stores


@dataclass
class Record:
    topic: str
    offset: int
    value: bytes | None
    key: bytes | None = KEY.encode()
    partition: int = 0
    headers: list[tuple[str, bytes]] = field(default_factory=list)


def kept(offset: int, seq: int, generation: int = 1) -> Record:
    """A record of the journal."""
    state = b'{"kind":"entity","org":"acme","adapter":"pco","entity":"people.person","type":"full","run":5}'
    content = b'{"generation":%d,"seq":%d,"state":%s}' % (generation, seq, state)
    return Record(JOURNAL, offset, HEAD.pack(generation, seq, 0) + content)


def read(*records: Record) -> TopicsReader:
    reader = TopicsReader()
    for record in records:
        reader.take(record)
    return reader


def test_the_journal_is_read_with_its_fold_and_where_that_changed_last() -> None:
    newest = kept(1, seq=2, generation=2)
    reader = read(kept(0, seq=1), newest, kept(2, seq=9), kept(3, seq=2, generation=2))
    assert [entry.offset for entry in reader.journal] == [0, 1, 2, 3]
    assert (reader.folded[0], reader.position) == ({KEY.encode(): newest.value}, {0: 1})
    assert reader.newest[f"{KEY}@5"].value == newest.value


def test_messages_of_control_topics_are_events_of_their_workflow() -> None:
    told = Record("page-done", 4, b'{"workflow":"w","run":1,"lease":1,"units":1,"pages":1,"records":1}')
    reader = read(told, Record("control", 5, b'{"workflow":"w"}'), Record("control", 6, b"\xff"))
    assert dict(reader.events) == {("page-done", 0, "w"): [4], ("control", 0, "w"): [5], ("control", 0, ""): [6]}
    assert list(reader.told) == [(0, 4)]


def test_what_the_engine_sent_is_known_by_its_id_and_what_others_sent_is_not() -> None:
    ours = Record("fetch-page", 1, b"{}", headers=[("sluice-id", b"abc")])
    reader = read(ours, Record("fetch-page", 2, b"{}"))
    assert [said.id for said in reader.said] == ["abc"]


def test_an_outnumbered_run_is_remembered_if_it_is_one() -> None:
    good = Record("control", 1, b'{"kind": "outnumbered", "workflow": "w", "parent_run": 7, "newest": 8}')
    reader = read(good, Record("control", 2, b'{"kind": "outnumbered", "parent_run": "x"}'))
    assert reader.outnumbered == {("w", 7)}


def test_nudges_are_counted_and_runs_that_entities_were_asked_for_are_remembered() -> None:
    nudge = Record("control", 1, b'{"kind": "nudge", "workflow": "w", "request_id": "n"}')
    asked = Record("control", 2, b'{"kind": "start-entity", "workflow": "e", "parent": "w", "parent_run": 7}')
    reader = read(nudge, nudge, asked)
    assert (reader.nudges["w"]["n"], reader.asked) == (2, {("w", 7)})


def test_a_journal_of_the_simulator_is_read_up_to_where_it_was_torn(tmp_path: Path) -> None:
    journal = tmp_path / "served.tsv"
    first, second = "/people/v2/people?offset=0&per_page=100", "/people/v2/people?offset=100&per_page=100"
    journal.write_text(f"acme\tpeople.person\t{first}\t1.5\nacme\tpeople.person\t{second}\nacme\tpeople.per")
    assert list(read_served(journal, read_layouts("pco"))) == [
        Served("acme", "people.person", "", 1, 1.5),
        Served("acme", "people.person", "", 2),
    ]


def test_stores_are_read_wherever_a_worker_keeps_them(tmp_path: Path) -> None:
    path = tmp_path / "worker" / "v1" / "tables" / "workflows-3.db"
    path.mkdir(parents=True)
    database = rocksdict.Rdict(str(path), rocksdict.Options(raw_mode=True))
    database[b"k"], database[POSITION] = b"v", b"41"
    (found,) = read_stores(tmp_path)  # it is open: the copy does not mind
    database.close()
    assert (found.partition, found.position, found.values) == (3, 41, {b"k": b"v"})


def test_the_report_names_every_invariant() -> None:
    written = report(examine(whole_run())).decode()
    assert '"is_clean": true' in written
    assert all(f'"{name}"' in written for name in INVARIANTS)


def test_organisations_are_given_with_commas(capsys: pytest.CaptureFixture[str]) -> None:
    needed = ["check", "--bootstrap", "b", "--dsn", "d", "--simulator", "s"]
    assert arguments().parse_args([*needed, "--orgs", "a,b"]).orgs == ("a", "b")
    with pytest.raises(SystemExit):
        arguments().parse_args(needed)
    assert "--orgs" in capsys.readouterr().err
