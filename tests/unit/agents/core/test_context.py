from collections.abc import Sequence
from typing import Any

import pytest

from agents.core import processor as module
from agents.core.batch import Batch, Out
from agents.core.context import BatchContext
from agents.core.processor import Processor, process_batch
from agents.core.timers import Timers
from agents.kinds import SHIPPED
from tables.requests import log_key, slot_of
from tests.engine.broker import LogPartition, LogRecord
from tests.engine.clock import T0
from tests.engine.engine import KEY, Engine
from tests.engine.store import Store
from tests.support.adapters import adapter
from tests.support.adapters import entity as shaped
from tests.unit.agents.core.harness import child_done, start
from topics.catalog import COMMAND_BYTES_MAX, DEAD_LETTERS, WORKFLOW_RETENTION_MS
from topics.codec import encode, headers, trace_in, trace_of
from topics.command import Command, TimerDue
from topics.dead_letters import DeadLetter, from_record
from topics.errors import Broken
from topics.kinds import entity, sync
from topics.kinds.entity import StartEntity
from topics.kinds.sync import ChildDone
from topics.partitions import partitioner

PARTITIONS = 8
PARTITION_OF = partitioner(PARTITIONS)
PROCESSOR = Processor(SHIPPED, {"toy": adapter(shaped("a.pet"))})
HERE = PARTITION_OF(KEY)
ELSEWHERE = (HERE + 1) % PARTITIONS
CHILD = entity.KEY.key("acme", "toy", "a.pet", "full")
GHOST = entity.KEY.key("acme", "toy", "a.ghost", "full")
LOG = log_key(KEY, slot_of(T0))


def records(
    *messages: Command | bytes | None, topic: str = "start-sync", partition: int = HERE, at: int = T0, **more: Any
) -> list[LogRecord]:
    values = [encode(message) if isinstance(message, Command) else message for message in messages]
    heads = {"key": None, "headers": (), **more}
    return [LogRecord(topic, partition, offset, at, value=value, **heads) for offset, value in enumerate(values)]


def processed(
    read: Sequence[LogRecord], store: Store | None = None, epoch: int = 1, timers: Timers | None = None
) -> Batch:
    """The batch of these records, written to the store."""
    store = Store() if store is None else store
    batch = Batch(store, LogPartition(read[0].topic, read[0].partition), read, epoch)
    context = BatchContext(batch, SHIPPED, PARTITION_OF, "worker-1")
    process_batch(batch, context, PROCESSOR)
    if timers is not None:
        context.update_timers(timers, T0)
    store.write(batch.changes)
    return batch


def outs(batch: Batch, topic: str) -> list[tuple[int, Out]]:
    return [(partition, out) for (name, partition), some in batch.outputs.items() if name == topic for out in some]


def dead_letters(batch: Batch) -> list[DeadLetter]:
    return [from_record(out.key, out.value, out.headers) for _, out in outs(batch, DEAD_LETTERS)]


def row(batch: Batch, key: str) -> Any:
    return SHIPPED.read_row(batch.changes[key.encode()] or b"")


def test_a_command_is_decided_in_one_batch_with_what_it_leads_to_in_its_partition() -> None:
    timers = Timers()
    batch = processed(records(start()), timers=timers)
    assert [out.key for out in batch.changelog] == [LOG, KEY.encode(), CHILD.encode()]
    assert [(out.key, out.value) for out in batch.changelog] == list(batch.changes.items())
    assert {topic for topic, _ in batch.outputs} == {"fetch-page"}
    child = row(batch, CHILD)
    assert (child.last_offset, child.seq, child.state.started_at) == ({}, T0, T0)  # of the record that led to it
    due = {key: row(batch, key).due for key in (KEY, CHILD)}
    assert dict(timers.pop_due(max(due.values()))) == due


def test_what_follows_for_another_partition_is_published_with_its_id_its_trace_and_its_sender() -> None:
    far = next(key for org in "abcdefgh" if PARTITION_OF(key := sync.KEY.key(org, "toy", "full")) != HERE)
    batch = processed(records(StartEntity(workflow=GHOST, parent=far, parent_run=7), topic="control"))
    ((partition, out),) = outs(batch, "control")
    command = SHIPPED.decode("control", out.value)
    assert isinstance(command, ChildDone)
    assert (partition, out.key) == (PARTITION_OF(far), far.encode())
    assert out.headers == headers(command, trace_of(GHOST), "worker-1")


def test_a_local_delivery_that_is_rejected_goes_by_the_broker_and_becomes_a_dead_letter() -> None:
    batch = processed(records(StartEntity(workflow=GHOST, parent=CHILD, parent_run=7), topic="control"))
    ((partition, out),) = outs(batch, "control")
    assert (partition, out.key, dead_letters(batch)) == (HERE, CHILD.encode(), [])
    (letter,) = dead_letters(processed(records(out.value, topic="control")))
    assert letter.reason == "an entity takes no ChildDone"


def test_workflows_that_send_each_other_commands_without_end_stop_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOCAL_DELIVERIES_MAX", 1)
    with pytest.raises(Broken, match=f"led to 1 deliveries within its partition, the last to {CHILD}"):
        processed(records(start()))


@pytest.mark.parametrize("key", [None, b"", b"anything", b"\xff"])
def test_the_key_of_a_stock_client_does_not_matter(key: bytes | None) -> None:
    assert KEY.encode() in processed(records(start(), key=key)).changes


@pytest.mark.parametrize("request_id", ["request-1", None])
def test_a_request_on_another_partition_is_sent_where_its_workflow_is_and_has_a_name(request_id: str | None) -> None:
    batch = processed(records(start(request_id), partition=ELSEWHERE))
    ((partition, out),) = outs(batch, "start-sync")
    assert (partition, out.key, batch.changes) == (HERE, KEY.encode(), {})
    assert SHIPPED.decode("start-sync", out.value) == start(request_id or f"start-sync/{ELSEWHERE}/0/{T0}")


def test_what_cannot_be_handled_is_a_dead_letter_with_its_origin_and_the_others_are_handled() -> None:
    messages = (b"start acme please", start(), start("request-2", on_conflict="reject"))
    batch = processed(records(*messages, key=b"k", headers=(("from", b"me"),)))
    first, second = dead_letters(batch)
    assert (first.topic, first.partition, first.offset, first.at) == ("start-sync", HERE, 0, T0)
    assert (first.key, first.value, first.headers) == (b"k", b"start acme please", (("from", b"me"),))
    assert first.reason.startswith("not a start-sync command")
    reason = f"run {KEY}@{T0} is in progress and the request says on_conflict=reject"
    assert (second.offset, second.reason) == (2, reason)
    puts = [SHIPPED.read_row(out.value or b"").last_offset for out in batch.changelog if out.key == KEY.encode()]
    assert puts == [{"start-sync": 1}, {"start-sync": 2}]


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
def test_no_message_stops_its_partition(topic: str, value: bytes | None, heads: tuple[tuple[str, Any], ...]) -> None:
    everywhere = [
        processed(records(value, topic=topic, partition=partition, headers=heads)) for partition in range(PARTITIONS)
    ]
    assert not any(batch.changes for batch in everywhere)
    assert any(dead_letters(batch) for batch in everywhere)


def test_of_many_requests_that_are_read_again_only_the_rejected_ones_become_dead_letters_again() -> None:
    store = Store()
    ignored = [start(f"ignored-{number}") for number in range(300)]
    read = records(start(), *ignored, *(start(f"rejected-{number}", on_conflict="reject") for number in range(3)))
    first, again = (processed(read, store, epoch) for epoch in (1, 2))
    assert [letter.offset for letter in dead_letters(first)] == [301, 302, 303]
    assert dead_letters(again) == dead_letters(first)
    assert outs(again, "fetch-page") == outs(first, "fetch-page")
    assert row(again, KEY).state == row(first, KEY).state


def test_an_ended_workflow_leaves_the_table_after_its_retention_with_its_requests_and_its_deadline() -> None:
    store, timers = Store(), Timers()
    processed(records(start()), store, timers=timers)
    due = T0 + WORKFLOW_RETENTION_MS
    over = records(child_done(), topic="control")
    over += [one._replace(offset=1) for one in records(TimerDue(workflow=KEY, due=due), topic="control", at=due)]
    batch = processed(over, store, timers=timers)
    assert [(out.key, out.value) for out in batch.changelog[-2:]] == [(LOG, None), (KEY.encode(), None)]
    assert set(store.values) - store.deleted == {CHILD.encode()}
    assert KEY not in dict(timers.pop_due(due))


async def test_one_run_has_one_trace_from_its_start_down_to_its_pages() -> None:
    engine = Engine(spreads_workflows=True)
    engine.start("request-1")
    await engine.settle()
    topics = ("control", "fetch-page", "page-done", "run-action")
    assert len({trace_in(record.headers) for topic in topics for record in engine.log(topic)}) == 1
