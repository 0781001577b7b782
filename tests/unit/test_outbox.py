"""What waits for its handover: by target, in order, and not without bound."""

import pytest

from agents.core.batch import Batch, Out
from agents.faust import outbox as module
from agents.faust.outbox import Outbox
from tests.engine.local import LocalRecord, LocalTable, LocalTP


def decided(topic: str, partition: int, last: int, *emitted: tuple[str, int, bytes]) -> Batch:
    """A batch that ends at offset `last`, put one record and emitted these."""
    records = [LocalRecord(topic, partition, last, 0, b"key", b"value", ())]
    batch = Batch(LocalTable(), LocalTP(topic, partition), records, 1)
    batch.put(b"key", topic.encode())
    for target, to, value in emitted:
        batch.emit(target, to, Out(b"key", value))
    return batch


def test_each_target_gets_its_records_in_the_order_of_deciding() -> None:
    outbox = Outbox()
    outbox.add(decided("start-sync", 0, 4, ("control", 1, b"a"), ("control", 0, b"b")))
    outbox.add(decided("control", 0, 9, ("control", 1, b"c")))
    assert outbox.outputs == {
        ("control", 1): [Out(b"key", b"a"), Out(b"key", b"c")],
        ("control", 0): [Out(b"key", b"b")],
    }
    assert outbox.changelog == {0: [Out(b"key", b"start-sync"), Out(b"key", b"control")]}


def test_a_source_may_be_committed_up_to_behind_its_last_record() -> None:
    outbox = Outbox()
    outbox.add(decided("control", 0, 4))
    outbox.add(decided("control", 0, 9))
    assert outbox.handled == {LocalTP("control", 0): 10}


def test_it_is_full_at_its_maximum(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RECORDS_MAX", 3)
    outbox = Outbox()
    outbox.add(decided("control", 0, 4, ("control", 1, b"a")))
    assert not outbox.is_full
    outbox.add(decided("control", 0, 5))
    assert outbox.is_full
