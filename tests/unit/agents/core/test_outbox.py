from collections.abc import Sequence

import pytest

from agents.core import outbox as module
from agents.core.batch import Batch, Out
from agents.core.outbox import Outbox, check_order
from tables.changelog import tombstone_headers
from tests.engine.broker import LogPartition, LogRecord
from tests.engine.store import Store
from topics.errors import Broken

CONTROL = LogPartition("control", 0)


def records(*offsets: int, tp: LogPartition = CONTROL) -> Sequence[LogRecord]:
    return [LogRecord(*tp, offset, 0, None, b"", ()) for offset in offsets]


def decided(topic: str, last: int, *emitted: tuple[str, int, bytes]) -> Batch:
    """A batch that ends at offset `last`, put one record and emitted these."""
    tp = LogPartition(topic, 0)
    batch = Batch(Store(), tp, records(last, tp=tp), 1)
    batch.put(b"key", topic.encode())
    for target, to, value in emitted:
        batch.emit(target, to, Out(b"key", value))
    return batch


def test_a_batch_reads_its_own_writes_and_journals_each_of_them() -> None:
    stored = {b"a": b"old", b"b": b"old"}
    batch = Batch(Store(dict(stored)), CONTROL, (), 1)
    assert batch.get(b"a") == b"old"
    batch.put(b"a", b"1")
    batch.put(b"a", b"2")
    batch.delete(b"b", 8)
    assert (batch.get(b"a"), batch.get(b"b"), batch.get(b"c")) == (b"2", None, None)
    assert batch.changelog == [Out(b"a", b"1"), Out(b"a", b"2"), Out(b"b", None, tombstone_headers(1, 8))]


def test_each_target_gets_its_records_in_the_order_of_deciding_and_each_source_the_offset_behind_them() -> None:
    outbox = Outbox()
    outbox.add(decided("start-sync", 4, ("control", 1, b"a"), ("control", 0, b"b")))
    outbox.add(decided("control", 9, ("control", 1, b"c")))
    assert outbox.outputs == {
        ("control", 1): [Out(b"key", b"a"), Out(b"key", b"c")],
        ("control", 0): [Out(b"key", b"b")],
    }
    assert outbox.handled == {LogPartition("start-sync", 0): 5, CONTROL: 10}
    assert outbox.changelog == {0: [Out(b"key", b"start-sync"), Out(b"key", b"control")]}


def test_it_is_full_at_its_maximum(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RECORDS_MAX", 3)
    outbox = Outbox()
    outbox.add(decided("control", 4, ("control", 1, b"a")))
    assert not outbox.is_full
    outbox.add(decided("control", 5))
    assert outbox.is_full


@pytest.mark.parametrize(
    ("expected", "offsets"), [(None, (5, 6)), (5, (5, 6, 7)), (5, (5,)), (9, (5, 6)), (6, (5, 6, 7))]
)
def test_records_without_a_gap_and_replays_are_welcome(expected: int | None, offsets: tuple[int, ...]) -> None:
    check_order(expected, records(*offsets), "control/0")


@pytest.mark.parametrize(
    ("expected", "offsets"), [(4, (5, 6)), (5, (5, 7)), (None, (5, 7)), (5, (6, 5)), (5, (5, 5, 6)), (9, (5, 7))]
)
def test_records_that_are_missing_stop_the_process(expected: int | None, offsets: tuple[int, ...]) -> None:
    with pytest.raises(Broken, match=r"control/0: records are missing: expected offset .* nothing of this batch"):
        check_order(expected, records(*offsets), "control/0")
