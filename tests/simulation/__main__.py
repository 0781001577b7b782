"""`python -m tests.simulation --seeds 5000`: histories until one breaks a promise; then its seed and its last steps."""

import argparse
import asyncio
import sys
import time

from tests.simulation.check import violations
from tests.simulation.worker import Protections
from tests.simulation.world import World


def broken(seed: int, protections: Protections | None = None) -> tuple[list[str], list[str]]:
    """The promises that a history broke, and the last things that happened in it."""
    world = World(seed, protections)
    try:
        asyncio.run(world.run())
    except AssertionError as error:
        return [str(error)], list(world.trace)
    return list(violations(world)), list(world.trace)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1_000, help="how many histories, from --seed on")
    parser.add_argument("--seed", type=int, default=1, help="the first one")
    given = parser.parse_args()
    began = time.perf_counter()
    for seed in range(given.seed, given.seed + given.seeds):
        found, trace = broken(seed)
        if found:
            print(
                f"seed {seed} breaks {len(found)} promises; again: python -m tests.simulation --seed {seed} --seeds 1"
            )
            print("\n".join(f"  {sentence}" for sentence in found[:10]))
            print("the last steps:", " · ".join(trace))
            sys.exit(1)
    print(
        f"{given.seeds} histories in {time.perf_counter() - began:.0f} s, from seed {given.seed} on: every promise kept"
    )


if __name__ == "__main__":
    main()
