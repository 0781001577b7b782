"""`python -m tests.chaos --seed 7 --minutes 2`: exit code 0 if nothing was lost, repeated or stuck; else 1."""

import argparse
import asyncio
import logging
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from tests.chaos.catalogue import BY_NAME
from tests.chaos.controls import CONTROLS
from tests.chaos.experiment import Ending, Plan, run_experiment
from tests.chaos.report import Report, append_report


def main() -> int:
    arguments = _arguments()
    faults = [name.strip() for name in arguments.faults.split(",") if name.strip()]
    unknown = sorted(set(faults) - set(BY_NAME))
    if unknown:
        sys.exit(f"there is no fault {', '.join(unknown)}; there are: {', '.join(BY_NAME)}")
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # Kafka is down at times, as intended
    plan = Plan(arguments.seed, arguments.minutes, arguments.brokers, faults, CONTROLS.get(arguments.control, {}))
    home, report = Path(tempfile.mkdtemp(prefix="sluice-chaos-")), Report()
    ending = asyncio.run(_until_stopped(plan, home, report))
    print(report.table())
    replay = f"python -m tests.chaos --seed {plan.seed} --minutes {plan.minutes:g} --brokers {plan.brokers}"
    replay += f" --faults '{','.join(faults)}'" if faults else ""
    replay += f" --control '{arguments.control}'" if arguments.control else ""
    if arguments.report:
        facts = {"seed": plan.seed, "minutes": plan.minutes, "brokers": plan.brokers, "is_clean": not ending.problems}
        figures = {"pages": ending.pages, "requests": ending.requests, "skipped": ending.skipped}
        append_report(arguments.report, report, {**facts, **figures, "checker": ending.checker}, ending.problems)
    if ending.problems:
        print("\n".join(["", "NOT CLEAN:", *(f"  {problem}" for problem in ending.problems)]))
        print(f"logs and records are in {home}; again: {replay}")
        return 1
    shutil.rmtree(home)
    print(f"clean: seed {plan.seed}, {len(report.faults)} faults, {ending.pages} pages, {ending.requests} requests")
    return 0


async def _until_stopped(plan: Plan, home: Path, report: Report) -> Ending:
    """SIGTERM takes everything down, as Ctrl-C does."""
    task = asyncio.create_task(run_experiment(plan, home, report))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await task


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=2.0, help="how long faults come and go")
    parser.add_argument("--brokers", type=int, choices=(1, 3), default=1)
    parser.add_argument("--faults", default="", help="names with commas; without, all that there are")
    parser.add_argument(
        "--control", choices=tuple(CONTROLS), help="take one protection out: this must not come out clean"
    )
    parser.add_argument("--report", type=Path, help="a file that gets a line of JSON more")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
