"""`python -m tests.bench`: what each measurement does stands in its module, what the figures mean in
docs/performance.md."""

import argparse
import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import msgspec
import uvloop

from tests.bench.decisions import measure_decisions
from tests.bench.environment import Environment, environment_in
from tests.bench.flat import measure_flat
from tests.bench.following import measure_following
from tests.bench.history import measure_history
from tests.bench.isolation import measure_isolation
from tests.bench.limited import measure_limited
from tests.bench.pages import measure_pages
from tests.bench.peers.measure import measure_peers
from tests.bench.restart import measure_restart
from tests.bench.shapes import SHAPES
from tests.bench.table import measure_table

Found = Mapping[str, msgspec.Struct]
MEASUREMENTS: Mapping[str, Callable[[Environment, int], Awaitable[msgspec.Struct]]] = {
    "following": measure_following,
    "flat": measure_flat,
    "decisions": measure_decisions,
    "isolation": measure_isolation,
    "limited": measure_limited,
    "restart": measure_restart,
    "table": measure_table,
    "history": measure_history,
}
PEERS = "peers"


async def run(env: Environment, names: Sequence[str], rounds: int) -> AsyncIterator[Found]:
    """The figures of one measurement after the other, by name."""
    shapes = [shape for shape in SHAPES if shape.name in names]
    if shapes:
        yield await measure_pages(env, shapes, rounds)
    for name, measure in MEASUREMENTS.items():
        if name in names:
            print(name, flush=True)
            yield {name: await measure(env, rounds)}
    if PEERS in names:
        yield await measure_peers(env, rounds)


async def report(env: Environment, names: Sequence[str], rounds: int, file: Path | None) -> None:
    """Print what is found when it is found, and keep it: a later failure loses nothing."""
    found: dict[str, msgspec.Struct] = {}
    async for some in run(env, names, rounds):
        found.update(some)
        print(msgspec.json.format(msgspec.json.encode(some)).decode(), flush=True)
        if file:
            await asyncio.to_thread(file.write_bytes, msgspec.json.format(msgspec.json.encode(found)))


def main() -> None:
    everything = [*(shape.name for shape in SHAPES), *MEASUREMENTS]
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measure the whole pipeline.")
    parser.add_argument("--rounds", type=int, default=4, help="how often what is compared is measured in turns")
    parser.add_argument("--report", type=Path, help="write the figures to this file as JSON")
    names = ", ".join([*everything, PEERS])
    parser.add_argument("names", nargs="*", help=f"only these: {names} (without names: all but {PEERS})")
    given = parser.parse_args()
    unknown = set(given.names) - {*everything, PEERS}
    if unknown:
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are: {names}")
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as home, environment_in(Path(home)) as env:
        uvloop.run(report(env, given.names or everything, given.rounds, given.report))


if __name__ == "__main__":
    main()
