"""`python -m tests.bench`: rounds in turns, medians, ratios. What the figures mean stands in docs/performance.md."""

import argparse
import contextlib
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec
import uvloop

from tests.bench.cpu import cpu_seconds
from tests.bench.engine import Engine
from tests.bench.floor import Floor
from tests.bench.shapes import SHAPES, Shape
from tests.support.kafka import free_port
from tests.support.postgres import PostgresServer


class Measured(msgspec.Struct):
    """Medians over the rounds; `spread` is (highest - lowest) / median of the engine's rounds."""

    shape: str
    pages: int
    rounds: int
    pages_per_s: float
    records_per_s: float
    floor_pages_per_s: float
    ratio: float
    spread: float
    cpu_ms_per_page: dict[str, float]


async def measure(engine: Engine, floor: Floor, shape: Shape, rounds: int, others: dict[str, int]) -> Measured:
    pages = shape.workflows * shape.pages
    theirs, ours, spent = [], [], []
    for number in range(rounds):
        orgs = shape.orgs(f"{shape.name}{number}")
        await floor.clear()
        began = time.perf_counter()
        await floor.run(shape, orgs)
        theirs.append(pages / (time.perf_counter() - began))
        await engine.clear()
        parts = engine.pids | others
        before, began = cpu_seconds(parts), time.perf_counter()
        await engine.run(shape, orgs)
        ours.append(pages / (time.perf_counter() - began))
        spent.append({name: (after - before[name]) / pages for name, after in cpu_seconds(parts).items()})
        stored = await engine.rows(shape, orgs)
        assert stored == pages * shape.page_size, f"{stored} rows stored, {pages * shape.page_size} expected"
        print(f"  round {number + 1}: floor {theirs[-1]:8.1f} pages/s   sluice {ours[-1]:8.1f} pages/s", flush=True)
    middle, floor_middle = statistics.median(ours), statistics.median(theirs)
    return Measured(
        shape=shape.name,
        pages=pages,
        rounds=rounds,
        pages_per_s=round(middle, 1),
        records_per_s=round(middle * shape.page_size, 1),
        floor_pages_per_s=round(floor_middle, 1),
        ratio=round(middle / floor_middle, 3),
        spread=round((max(ours) - min(ours)) / middle, 3),
        cpu_ms_per_page={name: round(statistics.median(one[name] for one in spent) * 1000, 3) for name in spent[0]},
    )


async def run(rounds: int, names: list[str], home: Path, dsn: str, port: int, others: dict[str, int]) -> list[Measured]:
    api = f"http://127.0.0.1:{port}"
    found = []
    async with Engine(home, api, dsn) as engine, Floor(api, dsn) as floor:
        for shape in (shape for shape in SHAPES if not names or shape.name in names):
            print(f"{shape.name}: {shape.workflows:,} workflows of {shape.pages:,} pages", flush=True)
            found.append(await measure(engine, floor, shape, rounds, others))
    return found


def wait_for(port: int) -> None:
    """Until something listens there."""
    for _ in range(100):
        with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.1)
    raise SystemExit("the benchmark's API did not start")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=4, help="how often each side runs each shape")
    parser.add_argument("--report", type=Path, help="write the figures to this file as JSON")
    parser.add_argument("shapes", nargs="*", help=f"only these: {', '.join(shape.name for shape in SHAPES)}")
    given = parser.parse_args()
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as home, PostgresServer(durable=True) as server:
        api = subprocess.Popen([sys.executable, "-m", "tests.bench.api", str(port)])
        try:
            wait_for(port)
            others = {"api": api.pid, "postgres": server.pid}
            found = uvloop.run(run(given.rounds, given.shapes, Path(home) / "sluice", server.dsn(), port, others))
        finally:
            api.terminate()
            api.wait(10)
    print(f"{'shape':10} {'sluice':>12} {'floor':>12} {'ratio':>7} {'spread':>7}")
    for one in found:
        print(
            f"{one.shape:10} {one.pages_per_s:12,.1f} {one.floor_pages_per_s:12,.1f} {one.ratio:7.2f} {one.spread:7.2f}"
        )
        print("           CPU ms a page: " + ", ".join(f"{name} {ms:.2f}" for name, ms in one.cpu_ms_per_page.items()))
    if given.report:
        given.report.write_bytes(msgspec.json.format(msgspec.json.encode({one.shape: one for one in found})))


if __name__ == "__main__":
    main()
