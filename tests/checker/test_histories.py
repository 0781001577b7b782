"""The checker reads histories of the simulation: harsher than life, and no promise is broken in them."""

import asyncio
from collections.abc import Iterator

from tests.checker.evidence import Evidence
from tests.checker.invariants import commands, journal, runs
from tests.checker.kafka_log import JOURNAL, TOPICS, TopicsReader
from tests.counter.commands import KEY as COUNTER
from tests.engine.clock import MovableClock
from tests.engine.faults import SimulatedLoop
from tests.simulation.controls import CONTROLS
from tests.simulation.world import World

SEEDS = range(20)
OF_THE_TOPICS = (
    journal.journal_is_whole,
    journal.journal_is_gapless,
    journal.journal_is_legal,
    runs.main_syncs_and_entities_agree,
    commands.no_command_is_lost,
    commands.requests_run_once,
    commands.ids_are_derived,
    commands.results_answer_an_action,
)


def history(seed: int) -> Evidence:
    """What is in the topics at its end."""
    clock = MovableClock()

    async def lived() -> World:
        world = World(seed, clock)
        await world.run_with_faults()
        await world.end()
        return world

    with asyncio.Runner(loop_factory=lambda: SimulatedLoop(clock)) as runner:
        return evidence_of(runner.run(lived()))


def evidence_of(world: World) -> Evidence:
    """Without the records of counters, which are no kind that Sluice comes with."""
    reader = TopicsReader()
    for tp, log in sorted(world.broker.logs.items()):
        for record in log if tp.topic in TOPICS else ():
            if tp.topic != JOURNAL or f"{COUNTER.kind}:" not in (record.key or b"").decode():
                reader.take(record)
    return reader.evidence()


def found(seed: int) -> Iterator[str]:
    evidence = history(seed)
    for invariant in OF_THE_TOPICS:
        yield from (f"seed {seed}: {sentence}" for sentence in invariant(evidence).violations)


def test_what_the_engine_did_in_spite_of_faults_is_in_order() -> None:
    assert [sentence for seed in SEEDS for sentence in found(seed)] == []


def test_an_engine_that_counts_messages_twice_is_found_in_the_journal() -> None:
    with CONTROLS["no dedupe"].patched():
        assert any(journal.journal_is_gapless(history(seed)).violations for seed in SEEDS)
