"""Nobody waits for ever: whichever message is lost, the deadlines alone, or nudges at once, lead to the same end.

Everything goes by the broker here, as it does between partitions: what is handed over cannot be lost by itself.
"""

import json
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import get_args

import pytest

from agents.activities.source import FetchRequest
from agents.core.batch import Out
from agents.core.context import HANDED_MAX
from tests.engine.engine import KEY, Engine
from tests.engine.local import LocalLog, MovableClock
from tests.support.adapters import toy_data
from topics.catalog import CHANGELOG, TOPICS
from topics.commands import CancelRun, ControlCommand, RetryNow
from topics.errors import Rejected, Retryable, SluiceError

DATA = toy_data(houses=6, rooms=2, pets=13, guests=3, logs=6)
ENTITIES = ("a.house", "a.room", "a.pet", "a.guest", "a.log")
DEADLINE_SECONDS = 601  # longer than any deadline of a workflow that waits
DEADLINES_MAX = 6  # that the loss of one message may cost
NUDGES_MAX = 3
SAID_FROM_OUTSIDE = {"start-sync", "nudge"}  # nobody but their sender could know that they are lost


class Leak(LocalLog):
    """A log that counts the messages of each kind, and loses the one that it is told to lose."""

    def __init__(self, clock: MovableClock, kind: str, number: int) -> None:
        super().__init__(clock)
        self.seen: Counter[str] = Counter()
        self._loses = (kind, number)

    def append(self, topic: str, out: Out) -> None:
        kind = str(json.loads(out.value or b"")["kind"]) if topic == "control" else topic
        self.seen[kind] += 1
        if (kind, self.seen[kind]) != self._loses:
            super().append(topic, out)


@dataclass
class End:
    """Where everything stands when nothing moves any more."""

    run: str
    request: str
    entities: Mapping[str, tuple[str, str, int]]
    rows: dict[str, list[str]]


def end_of(engine: Engine) -> End:
    sync = engine.sync()
    children = {name: (one.status, one.reason, one.records) for name, one in sync.children.items()}
    return End(sync.status, sync.request, children, {name: engine.keys(name) for name in ENTITIES})


Story = Callable[[Engine], Awaitable[None]]


async def a_sync_with_trouble(engine: Engine) -> None:
    """An API that fails once, and an entity that is forbidden."""
    failed: list[FetchRequest] = []

    def trouble(ask: FetchRequest) -> SluiceError | None:
        if ask.entity.name == "a.log" and ask.page == 2:
            return Rejected("403 forbidden")
        if ask.entity.name == "a.pet" and ask.page == 3 and not failed:
            failed.append(ask)
            return Retryable("503 unavailable")
        return None

    engine.source.trouble = trouble
    engine.start("request-1")
    await engine.settle()


async def a_restart(engine: Engine) -> None:
    """A request that ends the run of the one before."""

    def restart(ask: FetchRequest) -> None:
        if ask.entity.name == "a.house" and ask.page == 2:
            engine.source.on_fetch = lambda ask: None
            engine.start("request-2", on_conflict="restart")

    engine.source.on_fetch = restart
    engine.start("request-1")
    await engine.settle()


async def a_main_sync_that_lost_its_record(engine: Engine) -> None:
    """Its entities know a newer run than the one that it begins."""
    for request in ("request-1", "request-2"):
        engine.start(request)
        await engine.settle()
    journal = engine.log.records[CHANGELOG]
    journal[:] = [record for record in journal if record.key != KEY.encode()]
    engine._restart()
    engine.start("request-3")
    await engine.settle()


async def told(story: Story, kind: str = "", number: int = 0) -> tuple[Engine, Counter[str]]:
    """The story, up to where it comes to rest, without the message of this number; how many of each kind there were."""
    engine = Engine(data=DATA, handed_max=0)
    leak = engine.log = Leak(engine.clock, kind, number)
    await story(engine)
    return engine, leak.seen


async def pass_deadlines(engine: Engine) -> None:
    for _ in range(DEADLINES_MAX):
        await engine.advance(DEADLINE_SECONDS)


async def nudge(engine: Engine) -> None:
    """The clock stands still all the while."""
    for number in range(NUDGES_MAX):
        engine.tell(RetryNow(workflow=KEY, request_id=f"nudge-{number}"))
        await engine.settle()


LOSSES = {
    a_sync_with_trouble: (
        "start-entity",
        "fetch-page",
        "page-done",
        "child-done",
        "run-action",
        "action-complete",
        "timer-due",
    ),
    a_restart: ("cancel-run", "start-entity", "fetch-page", "page-done", "run-action", "child-done", "timer-due"),
    a_main_sync_that_lost_its_record: ("outnumbered", "start-entity", "fetch-page", "page-done", "child-done"),
}
LOST = [(story, kind) for story, kinds in LOSSES.items() for kind in kinds]


def named(value: object) -> str:
    return value if isinstance(value, str) else getattr(value, "__name__", "")


@pytest.mark.parametrize(("story", "kind"), LOST, ids=named)
async def test_whichever_message_is_lost_the_deadlines_lead_to_the_same_end(story: Story, kind: str) -> None:
    whole, sent = await told(story)
    await pass_deadlines(whole)
    assert sent[kind] > 0
    for number in range(1, sent[kind] + 1):
        engine, _ = await told(story, kind, number)
        await pass_deadlines(engine)
        assert end_of(engine) == end_of(whole), f"without {kind} number {number}"


@pytest.mark.parametrize(("story", "kind"), [(story, kind) for story, kind in LOST if kind != "timer-due"], ids=named)
async def test_whichever_message_is_lost_nudges_lead_to_the_same_end_at_once(story: Story, kind: str) -> None:
    whole, sent = await told(story)
    await nudge(whole)
    for number in range(1, sent[kind] + 1):
        engine, _ = await told(story, kind, number)
        await nudge(engine)
        assert end_of(engine) == end_of(whole), f"without {kind} number {number}"


@pytest.mark.parametrize("handed_max", [1, 3, HANDED_MAX])
@pytest.mark.parametrize("story", LOSSES, ids=named)
async def test_what_is_handed_over_leads_to_the_same_end_as_messages(story: Story, handed_max: int) -> None:
    by_message, _ = await told(story)
    by_hand = Engine(data=DATA, handed_max=handed_max)
    await story(by_hand)
    for engine in (by_message, by_hand):
        await pass_deadlines(engine)
    assert end_of(by_hand) == end_of(by_message)


async def a_cancelled_run(engine: Engine) -> None:
    """The API is down, and somebody does not want to wait for it."""
    engine.source.trouble = lambda ask: Retryable("503 unavailable") if ask.entity.name == "a.house" else None
    engine.start("request-1")
    await engine.settle()
    engine.tell(CancelRun(workflow=KEY, run=engine.sync().run, reason="no more"))
    await engine.settle()


async def test_an_entity_that_was_not_told_of_its_end_is_told_again() -> None:
    engine, sent = await told(a_cancelled_run, "cancel-run", 2)  # the first is the operator's own
    assert (sent["cancel-run"], engine.sync().status, engine.entity("a.house").status) == (2, "cancelled", "fetching")
    await pass_deadlines(engine)
    assert engine.entity("a.house").status == "cancelled"


def test_every_kind_of_message_is_lost_here() -> None:
    control = {model.model_fields["kind"].default for model in get_args(ControlCommand)}
    others = {spec.name for spec in TOPICS if spec.commands and spec.name != "control"}
    assert {kind for _, kind in LOST} == (control | others) - SAID_FROM_OUTSIDE
