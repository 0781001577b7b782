"""`python -m tests.simulation --seeds 5000`: histories until one breaks a promise; then its seed and its last steps."""

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import chain

from tests.engine.clock import MovableClock
from tests.engine.faults import SimulatedLoop
from tests.engine.protections import Protections
from tests.simulation.check import PROMISES
from tests.simulation.reads import the_last_runs_are_done_and_equal_the_source
from tests.simulation.world import World

TRACE_SHOWN = 40
FOUND_SHOWN = 10
SEEDS_PER_TASK = 50


def broken(seed: int, protections: Protections | None = None) -> tuple[list[str], list[str]]:
    """The promises that a history broke, and all that happened in it."""

    clock = MovableClock()

    async def run() -> tuple[list[str], list[str]]:
        world = World(seed, clock, protections)
        try:
            await world.run_with_faults()
            found = violations(world)
            if not found:
                await world.sync_all()
                found = violations(world) + list(the_last_runs_are_done_and_equal_the_source(world))
        except AssertionError as error:
            found = [str(error)]
        await world.end()
        return found, world.faults.trace

    with asyncio.Runner(loop_factory=lambda: SimulatedLoop(clock)) as runner:
        return runner.run(run())


def violations(world: World) -> list[str]:
    return list(chain.from_iterable(promise(world) for promise in PROMISES))


def failing(first: int, count: int, stop_at_first: bool) -> list[int]:
    """The seeds from `first` on whose histories break a promise."""
    found = []
    for seed in range(first, first + count):
        if broken(seed)[0]:
            found.append(seed)
            if stop_at_first:
                break
    return found


def all_failing(first: int, count: int, jobs: int, stop_at_first: bool) -> Iterator[int]:
    starts = range(first, first + count, SEEDS_PER_TASK)
    sizes = [min(SEEDS_PER_TASK, first + count - start) for start in starts]
    if jobs == 1:
        yield from chain.from_iterable(failing(*one, stop_at_first) for one in zip(starts, sizes, strict=True))
        return
    with ProcessPoolExecutor(jobs) as pool:
        for found in pool.map(failing, starts, sizes, [stop_at_first] * len(sizes)):
            yield from found
            if found and stop_at_first:
                pool.shutdown(cancel_futures=True)
                return


def explain(seed: int, is_verbose: bool) -> None:
    """What a history broke, and how it came to that."""
    found, trace = broken(seed)
    print(f"seed {seed} breaks {len(found)} promises; replay: python -m tests.simulation --seed {seed} --verbose")
    print("\n".join(f"  {sentence}" for sentence in found[:FOUND_SHOWN]))
    shown = trace if is_verbose else trace[-TRACE_SHOWN:]
    print(f"its steps ({len(shown)} of {len(trace)}):", *shown, sep="\n    ")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, help="how many histories, from --seed on (1,000; with --verbose 1)")
    parser.add_argument("--seed", type=int, default=1, help="the first one")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--all", action="store_true", help="continue after a failing one, and list them all")
    parser.add_argument("--verbose", action="store_true", help="show every step, of a history that breaks nothing, too")
    given = parser.parse_args()
    count = given.seeds or (1 if given.verbose else 1_000)
    began = time.perf_counter()
    if given.verbose:
        explain(given.seed, True)
    found = list(all_failing(given.seed, count, given.jobs, not given.all))
    if found and not given.verbose:
        explain(found[0], False)
    if len(found) > 1:
        print(f"{len(found)} of {count} seeds fail: {', '.join(map(str, found))}")
    if found:
        sys.exit(1)
    print(f"{count} histories in {time.perf_counter() - began:.0f} s, from seed {given.seed} on: every promise kept")


if __name__ == "__main__":
    main()
