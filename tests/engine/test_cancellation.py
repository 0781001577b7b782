from agents.ports import FetchRequest
from tests.engine.engine import KEY, Engine
from tests.engine.faults import Died
from tests.support.adapters import toy_data
from topics.command import CancelRun

LOGS = 100  # that the API has: far more than are read before a cancel arrives
PAGE_SECONDS = 1  # the API is slow, so that leases stay small


async def cancelled_engine(fatal: int) -> tuple[Engine, int]:
    """A run that is cancelled while it is under way, with a crash `fatal` points after that; how many were reached."""
    reached, is_cancelled = -1, False

    def crash(where: str) -> None:
        nonlocal reached
        reached += is_cancelled
        if is_cancelled and reached == fatal:
            raise Died

    def cancel(request: FetchRequest) -> None:
        nonlocal is_cancelled
        engine.clock.advance(PAGE_SECONDS)
        if not is_cancelled:
            is_cancelled = True
            engine.send(CancelRun(workflow=KEY, run=engine.sync().run, reason="not today"))

    engine = Engine(data=toy_data(houses=3, pets=9, guests=1, logs=LOGS), may_crash=crash)
    engine.source.on_fetch = cancel
    engine.start("request-1")
    await engine.settle()
    return engine, reached + 1


async def test_a_cancel_reaches_every_child_wherever_a_process_dies() -> None:
    _, points = await cancelled_engine(10_000)
    assert points > 10
    for fatal in range(points):
        engine, _ = await cancelled_engine(fatal)
        running = [name for name, child in engine.sync().children.items() if child.started_at]
        assert (engine.crashes, engine.sync().status) == (1, "cancelled")
        assert {engine.entity(name).status for name in running} <= {"cancelled", "done"}, f"crash at {fatal}"
        assert len(engine.keys("a.log")) < LOGS, "it was read on after the cancel"
