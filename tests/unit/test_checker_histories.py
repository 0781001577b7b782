"""The checker reads histories of the simulation: harsher than life, and no promise is broken in them."""

import asyncio
from collections.abc import Iterator

from tests.checker.evidence import Evidence
from tests.checker.invariants.commands import ids_are_derived, no_command_is_lost, requests_run_once
from tests.checker.invariants.families import main_syncs_and_entities_agree
from tests.checker.invariants.journal import journal_is_gapless, journal_is_legal, journal_is_whole
from tests.checker.kafka_log import TOPICS, TopicsReader
from tests.engine.local import MovableClock
from tests.simulation.controls import CONTROLS
from tests.simulation.fate import SimulatedLoop
from tests.simulation.world import World

SEEDS = range(20)
OF_THE_TOPICS = (
    journal_is_whole,
    journal_is_gapless,
    journal_is_legal,
    main_syncs_and_entities_agree,
    no_command_is_lost,
    requests_run_once,
    ids_are_derived,
)


def history(seed: int) -> Evidence:
    """What is in the topics at its end."""
    clock = MovableClock()

    async def lived() -> World:
        world = World(seed, clock)
        await world.storm()
        await world.end()
        return world

    with asyncio.Runner(loop_factory=lambda: SimulatedLoop(clock)) as runner:
        return evidence_of(runner.run(lived()))


def evidence_of(world: World) -> Evidence:
    reader = TopicsReader()
    for tp, log in sorted(world.broker.logs.items()):
        if tp.topic in TOPICS:
            for record in log:
                reader.take(record)
    return reader.evidence()


def found(seed: int) -> Iterator[str]:
    evidence = history(seed)
    for invariant in OF_THE_TOPICS:
        yield from (f"seed {seed}: {sentence}" for sentence in invariant(evidence).violations)


def test_what_the_engine_did_in_a_storm_is_in_order() -> None:
    assert [sentence for seed in SEEDS for sentence in found(seed)] == []


def test_an_engine_that_counts_messages_twice_is_found_in_the_journal() -> None:
    with CONTROLS["no dedupe"].patched():
        assert any(journal_is_gapless(history(seed)).violations for seed in SEEDS)
