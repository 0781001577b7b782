from dataclasses import dataclass, field
from pathlib import Path

from tests.checker.builders import KEY
from tests.checker.formats import HEAD
from tests.checker.kafka_log import JOURNAL, TopicsReader
from tests.checker.layouts import read_layouts
from tests.checker.source import read_served
from tests.checker.values import Served


@dataclass
class Record:
    topic: str
    offset: int
    value: bytes | None
    key: bytes | None = KEY.encode()
    partition: int = 0
    headers: list[tuple[str, bytes]] = field(default_factory=list)


def kept(offset: int, seq: int, epoch: int = 1) -> Record:
    """A record of the journal."""
    state = b'{"kind":"entity","org":"acme","adapter":"pco","entity":"people.person","type":"full","run":5}'
    content = b'{"generation":%d,"seq":%d,"trail":[[1,2,"c","n","r",5]],"state":%s}' % (epoch, seq, state)
    return Record(JOURNAL, offset, HEAD.pack(epoch, seq, 0) + content)


def read(*records: Record) -> TopicsReader:
    reader = TopicsReader()
    for record in records:
        reader.take(record)
    return reader


def test_the_journal_is_read_with_its_fold_and_where_that_changed_last() -> None:
    newest = kept(1, seq=2, epoch=2)
    reader = read(kept(0, seq=1), newest, kept(2, seq=9), kept(3, seq=2, epoch=2))
    assert [entry.offset for entry in reader.journal] == [0, 1, 2, 3]
    assert (reader.folded[0], reader.position) == ({KEY.encode(): newest.value}, {0: 1})
    assert reader.newest[f"{KEY}@5"].value == newest.value
    assert reader.evidence().events == {(KEY, 2, 1, "c", "n", "r", f"{KEY}@5")}


def test_a_request_log_is_folded_like_any_record_and_is_no_workflow() -> None:
    log = HEAD.pack(1, 2, 0) + b'{"epoch":1,"seq":2,"day":9,"requests":[["a","start-sync@3"]]}'
    record = Record(JOURNAL, 0, log, f"request-log:1:{KEY}".encode())
    reader = read(record, Record(JOURNAL, 1, None, b"request-log:2:other"))
    assert (reader.folded[0], reader.journal) == ({record.key: log}, [])
    assert [(one.workflow, one.ids, one.faults) for one in reader.request_logs] == [(KEY, frozenset("a"), list[str]())]
    assert reader.evidence().request_ids == {KEY: {"a"}}


def test_what_the_engine_sent_is_known_by_its_id_and_the_id_of_an_action_is_derived_anew() -> None:
    step = b'{"workflow":"w","run":1,"action":"finish-run","step":"done"}'
    header = [("sluice-id", b"abc")]
    reader = read(Record("run-action", 0, step, headers=header), Record("run-action", 1, step))
    assert [(sent.id, len(sent.derived)) for sent in reader.sent] == [("abc", 32)]


def test_a_journal_of_the_simulator_is_read_up_to_where_it_was_torn(tmp_path: Path) -> None:
    journal = tmp_path / "served.tsv"
    first, second = "/people/v2/people?offset=0&per_page=100", "/people/v2/people?offset=100&per_page=100"
    journal.write_text(f"acme\tpeople.person\t{first}\t1.5\nacme\tpeople.person\t{second}\nacme\tpeople.per")
    found = list(read_served(journal, read_layouts("pco")))
    assert found == [Served("acme", "people.person", "", 1, 1.5), Served("acme", "people.person", "", 2)]
