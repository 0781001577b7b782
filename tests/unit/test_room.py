import re
from typing import Any

import pytest

from agents.core.batch import Batch, Out
from agents.core.context import BatchContext, step
from agents.faust.wiring import make_processor, partitioner
from tables.catalog import read_row
from tests.engine.engine import KEY, Engine
from tests.engine.local import LocalRecord, LocalTable, LocalTP
from tests.support.adapters import adapter, entity
from tests.support.scenario import T0
from topics.catalog import COMMAND_BYTES_MAX, DEAD_LETTERS
from topics.codec import decode, encode, trace_in
from topics.commands import Command, StartSync, TimerDue
from topics.dead_letters import from_record
from topics.ids import entity_key, sync_key

PARTITIONS = 8
PARTITION_OF = partitioner(PARTITIONS)
SHELL = make_processor({"toy": adapter(entity("a.pet"))})
HOME = PARTITION_OF(KEY)
ELSEWHERE = (HOME + 1) % PARTITIONS


def start(request: str | None = "request-1", **more: Any) -> StartSync:
    return StartSync.model_validate({"org": "acme", "adapter": "toy", "type": "full", "request_id": request, **more})


def handled(
    *messages: Command | bytes | None,
    partition: int = HOME,
    topic: str = "start-sync",
    key: bytes | None = None,
    heads: tuple[tuple[str, Any], ...] = (),
    handed_max: int = 0,
) -> tuple[Batch, BatchContext]:
    values = [encode(message) if isinstance(message, Command) else message for message in messages]
    records = [LocalRecord(topic, partition, n, T0, key, value, heads) for n, value in enumerate(values)]
    batch = Batch(LocalTable(), LocalTP(topic, partition), records, 1)
    room = BatchContext(batch, PARTITION_OF, "worker-1", handed_max)
    step(batch, room, SHELL)
    return batch, room


def outs(batch: Batch, topic: str) -> list[tuple[int, Out]]:
    return [(partition, out) for (name, partition), some in batch.outputs.items() if name == topic for out in some]


def test_a_command_on_its_partition_is_decided_and_journalled() -> None:
    batch, room = handled(start())
    (change,) = batch.changes.values()
    assert change is not None
    assert [out.value for out in batch.changelog] == [change]
    assert room.deadlines == {KEY: read_row(change).due}


def test_what_follows_goes_to_the_partition_of_its_own_key() -> None:
    batch, _ = handled(start())
    ((partition, out),) = outs(batch, "control")
    child = entity_key("acme", "toy", "a.pet", "full")
    assert (partition, out.key) == (PARTITION_OF(child), child.encode())


def test_what_a_workflow_tells_one_of_its_partition_is_handed_over_in_the_batch() -> None:
    batch, room = handled(start(), handed_max=1)
    child = entity_key("acme", "toy", "a.pet", "full")
    assert [out.key for out in batch.changelog] == [KEY.encode(), child.encode()]
    assert set(room.deadlines) == {KEY, child}
    assert [topic for topic, _ in batch.outputs] == ["fetch-page"]


def test_what_is_handed_over_moves_no_offset_and_has_the_time_of_what_led_to_it() -> None:
    batch, _ = handled(start(), handed_max=1)
    row = read_row(batch.changelog[1].value or b"")
    assert row.state is not None
    assert (row.last_offset, row.seq, row.state.started_at) == ({}, T0, T0)


def test_what_is_more_than_a_batch_hands_over_goes_by_the_broker() -> None:
    neighbour = "zenith"
    assert PARTITION_OF(sync_key(neighbour, "toy", "full")) == HOME
    batch, _ = handled(start(), start(org=neighbour), handed_max=1)
    assert [out.key for _, out in outs(batch, "fetch-page")] == [b"acme/toy"]
    assert [out.key for _, out in outs(batch, "control")] == [entity_key(neighbour, "toy", "a.pet", "full").encode()]


def test_what_is_sent_again_is_handed_over_however_much_it_is() -> None:
    """As a message it would not tell that it is sent again, and what followed from it might stay lost."""
    table = LocalTable()
    first, _ = handled(start(), handed_max=1)
    table.write(first.changes)
    again = Batch(table, first.tp, first.records, 2)
    step(again, BatchContext(again, PARTITION_OF, "worker-1", 0), SHELL)
    assert again.outputs == first.outputs


@pytest.mark.parametrize("key", [None, b"", b"anything", b"\xff"])
def test_the_key_of_a_stock_client_does_not_matter(key: bytes | None) -> None:
    batch, _ = handled(start(), key=key)
    assert list(batch.changes) == [KEY.encode()]


def test_a_command_on_another_partition_is_sent_where_its_workflow_lives() -> None:
    batch, _ = handled(start(), partition=ELSEWHERE)
    ((partition, out),) = outs(batch, "start-sync")
    assert (partition, out.key, batch.changes) == (HOME, KEY.encode(), {})
    assert decode("start-sync", out.value) == start()


def test_a_request_without_a_name_keeps_one_wherever_it_is_sent() -> None:
    batch, _ = handled(start(None), partition=ELSEWHERE)
    ((_, out),) = outs(batch, "start-sync")
    assert decode("start-sync", out.value) == start(f"start-sync/{ELSEWHERE}/0")


def test_what_is_no_command_is_buried_with_its_origin_and_the_others_are_handled() -> None:
    batch, _ = handled(
        b"start acme please", start(), start("request-2", on_conflict="reject"), key=b"k", heads=(("from", b"me"),)
    )
    first, second = [from_record(out.key, out.value, out.headers) for _, out in outs(batch, DEAD_LETTERS)]
    assert (first.topic, first.partition, first.offset, first.at) == ("start-sync", HOME, 0, T0)
    assert (first.key, first.value, first.headers) == (b"k", b"start acme please", (("from", b"me"),))
    assert first.reason.startswith("not a start-sync command")
    assert (second.offset, second.reason) == (
        2, f"run {KEY}@{T0} is in progress and the request says on_conflict=reject",
    )  # fmt: skip
    assert [read_row(out.value or b"").last_offset for out in batch.changelog] == [{"start-sync": 1}, {"start-sync": 2}]


@pytest.mark.parametrize(
    ("topic", "value", "heads"),
    [
        ("control", b'{"kind":"start-entity","workflow":"entity-sync:a","parent":"p","parent_run":1}', ()),
        ("control", b'{"kind":"timer-due","workflow":"party","due":1}', ()),
        ("control", b'{"kind":"start-entity","workflow":"main-sync:a:b:c","parent":"p","parent_run":1}', ()),
        ("page-done", None, ()),
        ("action-complete", b"x" * (COMMAND_BYTES_MAX + 1), ()),
        ("start-sync", encode(start()), (("sluice-schema", b"9" * 5_000),)),
        ("start-sync", encode(start()), (("sluice-schema", None),)),
    ],
)
def test_no_message_stops_the_partition(topic: str, value: bytes | None, heads: tuple[tuple[str, Any], ...]) -> None:
    for partition in range(PARTITIONS):
        batch, _ = handled(value, topic=topic, partition=partition, heads=heads)
        assert batch.changes == {}
        if outs(batch, DEAD_LETTERS):
            return
    pytest.fail("it was buried nowhere")


def test_two_commands_of_one_batch_see_each_other() -> None:
    batch, _ = handled(start(), start("request-2"))
    assert [read_row(out.value or b"").seq for out in batch.changelog] == [T0, T0 + 1]
    assert len(outs(batch, "control")) == 1


def test_a_record_that_leaves_the_table_is_a_tombstone_and_has_no_deadline() -> None:
    table = LocalTable()
    first, _ = handled(start())
    table.write(first.changes)
    row = read_row(table.values[KEY.encode()])
    told = b'{"kind":"child-done","workflow":"%s","parent_run":%d,"entity":"a.pet","child_run_id":"c","outcome":"done"}'
    done = told % (KEY.encode(), T0)
    gone_at = T0 + 8 * 86_400_000
    over = encode(TimerDue(workflow=KEY, due=gone_at))
    sent_at_ms = ((T0, done), (gone_at, over))
    records = [LocalRecord("control", HOME, n, at, None, value, ()) for n, (at, value) in enumerate(sent_at_ms)]
    batch = Batch(table, LocalTP("control", HOME), records, 1)
    room = BatchContext(batch, PARTITION_OF, "worker-1")
    step(batch, room, SHELL)
    assert row.due > 0
    assert (batch.changes, batch.changelog[-1].value, room.deadlines) == ({KEY.encode(): None}, None, {KEY: 0})


def test_what_is_sent_carries_its_id_its_version_its_trace_and_its_sender() -> None:
    batch, _ = handled(start())
    ((_, out),) = outs(batch, "control")
    command = decode("control", out.value)
    heads = dict(out.headers)
    assert (heads["sluice-id"], heads["sluice-schema"], heads["sluice-sent-by"]) == (
        command.id.encode(), b"1", b"worker-1",
    )  # fmt: skip
    assert re.fullmatch(rb"00-[0-9a-f]{32}-%s-01" % command.id[:16].encode(), heads["traceparent"])


async def test_one_run_has_one_trace_from_its_start_down_to_its_pages() -> None:
    engine = Engine()
    engine.start("request-1")
    await engine.settle()
    traces = {
        trace_in(record.headers)
        for topic in ("control", "fetch-page", "run-action")
        for record in engine.log.records[topic]
    }
    assert len(traces) == 1
