"""Nobody waits for ever: whichever message is lost, the deadlines alone, or retries at once, lead to the same end.

Every workflow has a partition of its own here: what is delivered locally cannot be lost by itself.
"""

import json
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest

from agents.core.batch import Out
from agents.kinds import SHIPPED
from agents.ports import FetchRequest
from tests.engine.broker import Broker, LogPartition
from tests.engine.engine import KEY, Engine
from tests.support.adapters import toy_data
from topics.catalog import CHANGELOG, DEAD_LETTERS
from topics.command import CancelRun, Control, RetryNow
from topics.errors import Rejected, Retryable, SluiceError

DATA = toy_data(houses=6, rooms=2, pets=13, guests=3, logs=6)
DEADLINE_SECONDS = 601  # longer than any deadline of a workflow that waits
DEADLINES_MAX = 6  # that the loss of one message may cost
RETRIES_MAX = 3
FROM_OUTSIDE = {"start-sync", "nudge"}  # nobody but their sender could know that they are lost


class LosingBroker(Broker):
    """Counts the messages of each kind, and loses the one of this kind and number."""

    def __init__(self, broker: Broker, kind: str, number: int) -> None:
        super().__init__(broker.clock, broker.partitions, broker.spreads_workflows)
        self.seen: Counter[str] = Counter()
        self._loses = (kind, number)

    def append(self, tp: LogPartition, out: Out, by: str = "a client") -> int:
        if tp.topic in (CHANGELOG, DEAD_LETTERS):
            return super().append(tp, out, by)
        kind = str(json.loads(out.value or b"")["kind"]) if tp.topic == "control" else tp.topic
        self.seen[kind] += 1
        return -1 if (kind, self.seen[kind]) == self._loses else super().append(tp, out, by)


def end_of(engine: Engine) -> tuple[object, ...]:
    """Where everything stands when nothing moves any more."""
    sync = engine.sync()
    children = {name: (one.status, one.reason, one.records) for name, one in sync.children.items()}
    return (sync.status, sync.request, children, engine.stored_keys())


Story = Callable[[Engine], Awaitable[None]]


async def a_sync_with_trouble(engine: Engine) -> None:
    """An API that fails once, and an entity that is forbidden."""
    failed: list[FetchRequest] = []

    def trouble(request: FetchRequest) -> SluiceError | None:
        if request.entity.name == "a.log" and request.page == 2:
            return Rejected("403 forbidden")
        if request.entity.name == "a.pet" and request.page == 3 and not failed:
            failed.append(request)
            return Retryable("503 unavailable")
        return None

    engine.source.trouble = trouble
    await engine.run("request-1")


async def a_restart(engine: Engine) -> None:
    """A request that ends the run of the one before, while one of its entities backs off."""

    def trouble(request: FetchRequest) -> SluiceError | None:
        if request.entity.name != "a.log":
            return None
        engine.source.trouble = None
        return Retryable("503 unavailable")

    def restart(request: FetchRequest) -> None:
        if request.entity.name == "a.house" and request.page == 2:
            engine.source.on_fetch = lambda request: None
            engine.start("request-2", on_conflict="restart")

    engine.source.trouble, engine.source.on_fetch = trouble, restart
    await engine.run("request-1")


async def a_main_sync_that_lost_its_record(engine: Engine) -> None:
    """Its entities know a newer run than the one that it begins, since the broker's clock was put back."""
    for request in ("request-1", "request-2"):
        await engine.run(request)
    journal = engine.broker.logs[LogPartition(CHANGELOG, engine.broker.partition_of(KEY))]
    journal.clear()
    engine.broker.skew_ms = -3_600_000
    await engine.restart()
    await engine.run("request-3")


async def played(story: Story, kind: str = "", number: int = 0) -> tuple[Engine, Counter[str]]:
    """The story, up to where it comes to rest, without the message of this number; how many of each kind there were."""
    engine = Engine(data=DATA, spreads_workflows=True)
    losing = engine.broker = LosingBroker(engine.broker, kind, number)
    await story(engine)
    return engine, losing.seen


async def pass_deadlines(engine: Engine) -> None:
    for _ in range(DEADLINES_MAX):
        await engine.advance(DEADLINE_SECONDS)


async def retry(engine: Engine) -> None:
    """The clock stands still all the while."""
    for number in range(RETRIES_MAX):
        engine.send(RetryNow(workflow=KEY, request_id=f"retry-{number}"))
        await engine.settle()


ALWAYS = ("start-entity", "fetch-page", "page-done", "child-done")
LOSSES = {
    a_sync_with_trouble: ("run-action", "action-complete", "timer-due"),
    a_restart: ("cancel-run", "run-action", "timer-due"),
    a_main_sync_that_lost_its_record: ("outnumbered",),
}
LOST = [(story, kind) for story, kinds in LOSSES.items() for kind in (*ALWAYS, *kinds)]
# While the clock stands still, no timer is due.
CASES = [(*lost, how) for lost in LOST for how in (pass_deadlines, retry) if (lost[1], how) != ("timer-due", retry)]


def named(value: object) -> str:
    return value if isinstance(value, str) else getattr(value, "__name__", "")


@pytest.mark.parametrize(("story", "kind", "remedy"), CASES, ids=named)
async def test_whichever_message_is_lost_the_deadlines_or_retries_at_once_lead_to_the_same_end(
    story: Story, kind: str, remedy: Story
) -> None:
    whole, sent = await played(story)
    await remedy(whole)
    assert sent[kind] > 0
    for number in range(1, sent[kind] + 1):
        engine, _ = await played(story, kind, number)
        await remedy(engine)
        assert end_of(engine) == end_of(whole), f"without {kind} number {number}"


@pytest.mark.parametrize("story", LOSSES, ids=named)
async def test_local_deliveries_lead_to_the_same_end_as_messages(story: Story) -> None:
    by_message, _ = await played(story)
    locally = Engine(data=DATA)
    await story(locally)
    for engine in (by_message, locally):
        await pass_deadlines(engine)
    assert end_of(locally) == end_of(by_message)


async def a_cancelled_run(engine: Engine) -> None:
    """The API is down, and somebody does not want to wait for it."""
    engine.source.trouble = lambda request: Retryable("503 unavailable") if request.entity.name == "a.house" else None
    await engine.run("request-1")
    engine.send(CancelRun(workflow=KEY, run=engine.sync().run, reason="no more"))
    await engine.settle()


async def test_an_entity_whose_cancel_was_lost_is_cancelled_again() -> None:
    engine, sent = await played(a_cancelled_run, "cancel-run", 2)  # the first is the operator's own
    assert (sent["cancel-run"], engine.sync().status, engine.entity("a.house").status) == (2, "cancelled", "fetching")
    await pass_deadlines(engine)
    assert engine.entity("a.house").status == "cancelled"


def test_every_kind_of_message_is_lost_here() -> None:
    kinds = {
        model.model_fields["kind"].default if issubclass(model, Control) else model.topic
        for models in SHIPPED.catalog.commands.values()
        for model in models
    }
    assert {kind for _, kind in LOST} == kinds - FROM_OUTSIDE
