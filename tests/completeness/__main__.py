"""`python -m tests.completeness --runs 13 --fast-runs 5`: exit code 0 if every run is complete and right.

Right is also what a run says of itself: one that says that it is complete lacks nothing, and at one move a second every
run can say so, with few requests more than pages.
"""

import argparse
import asyncio
import json
import sys
import tempfile
from pathlib import Path

import asyncpg

from tests.completeness.experiment import Plan, run_experiment
from tests.completeness.groups import PAGINGS, SLOW, Run, facts, table
from tests.completeness.stack import running_stack
from tests.support.kafka import running_broker
from tests.support.postgres import DATABASE, PostgresServer

FAST = 50.0  # inserts, and deletes, a second


def main() -> int:
    arguments = _arguments()
    plan = Plan(
        people=arguments.people,
        runs=((SLOW, arguments.runs), (FAST, arguments.fast_runs)),
        pagings=tuple(arguments.pagings.split(",")),
        seed=arguments.seed,
    )
    runs = _run(plan)
    print(table(runs))
    problems = [problem for run in runs for problem in run.problems()]
    print("\n".join(problems))
    if arguments.report:
        with arguments.report.open("a") as file:
            file.write(json.dumps({"people": plan.people, "seed": plan.seed, "runs": facts(runs)}) + "\n")
    return 1 if problems else 0


def _run(plan: Plan) -> list[Run]:
    with tempfile.TemporaryDirectory(prefix="sluice-completeness-") as name, PostgresServer() as postgres:
        home = Path(name)
        with running_broker(home / "kafka") as broker:

            async def run() -> list[Run]:
                connection = await asyncpg.connect(postgres.dsn())
                await connection.execute(f"create database {DATABASE}")
                await connection.close()
                async with running_stack(broker, home / "home", postgres.dsn(DATABASE)) as stack:
                    return await run_experiment(plan, stack, lambda line: print(line, flush=True))

            return asyncio.run(run())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.completeness", description=__doc__)
    parser.add_argument("--people", type=int, default=20_000)
    parser.add_argument("--runs", type=int, default=13, help="at one insert and one delete a second, of each kind")
    parser.add_argument("--fast-runs", type=int, default=5, help="at fifty of each a second")
    parser.add_argument("--pagings", default="offset,link", help=f"with commas; there are: {', '.join(PAGINGS)}")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--report", type=Path, help="a file that gets a line of JSON more")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
