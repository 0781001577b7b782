"""The experiment: rounds of full syncs side by side while their sources move, and the judgement of each."""

import asyncio
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tests.completeness.adapters import ENTITY
from tests.completeness.groups import PAGINGS, Group, Run
from tests.completeness.judge import at, judge
from tests.completeness.stack import Ended, Fetched, Stack

SIDE_BY_SIDE_MAX = 50  # syncs at the same time
ROUND_SECONDS_MAX = 900.0
POLL_SECONDS = 0.25
PAGE = 100
UNKNOWN = Ended("", "still running", f"after {ROUND_SECONDS_MAX:.0f} s")

Log = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """`runs` of each paging, limit and rate, by the rate in moves per second."""

    people: int = 20_000
    runs: tuple[tuple[float, int], ...] = ((1.0, 13), (50.0, 5))
    pagings: tuple[str, ...] = ("offset", "link")
    limits: tuple[bool, ...] = (True, False)
    latency_ms: int = 0
    seed: int = 1

    def orgs(self) -> dict[str, str]:
        """Every organisation, and its paging. Each round uses as many as it has runs."""
        each = min(max(runs for _, runs in self.runs), SIDE_BY_SIDE_MAX // len(self.pagings))
        return {f"{paging}-{number}": paging for number in range(1, each + 1) for paging in self.pagings}

    def rounds(self, is_limited: bool) -> Iterator[dict[str, Group]]:
        """Organisations that sync side by side, each in its group."""
        orgs = self.orgs()
        for rate, runs in self.runs:
            left = dict.fromkeys(self.pagings, runs)
            while any(left.values()):
                found: dict[str, Group] = {}
                for org, paging in orgs.items():
                    if left[paging]:
                        left[paging] -= 1
                        found[org] = Group(PAGINGS[paging], is_limited, rate)
                yield found


async def run_experiment(plan: Plan, stack: Stack, log: Log) -> list[Run]:
    runs: list[Run] = []
    known: list[str] = []
    for is_limited in plan.limits:
        arguments = ["--people", str(plan.people), "--latency-ms", str(plan.latency_ms)]
        await stack.simulate(list(plan.orgs()), *arguments, *([] if is_limited else ["--no-rate-limit"]))
        for org, paging in plan.orgs().items():
            for kind in PAGINGS[paging].kinds:
                await stack.order("faults", kind=kind, org=org)
        for groups in plan.rounds(is_limited):
            log(f"{len(groups)} syncs side by side: {', '.join(dict.fromkeys(one.name for one in groups.values()))}")
            runs += await _round(stack, groups, known, plan.seed + len(runs))
    return runs


async def _round(stack: Stack, groups: dict[str, Group], known: list[str], seed: int) -> list[Run]:
    """One sync of each organisation, into tables without its rows. `known`: the syncs that have ended before."""
    orgs = list(groups)
    await stack.forget_rows(orgs)
    await stack.order("counters/reset")
    for number, (org, group) in enumerate(groups.items()):
        rates = dict.fromkeys(("inserts_per_second", "deletes_per_second"), group.moves_per_second)
        await stack.order("move", org=org, entity=ENTITY, seconds=ROUND_SECONDS_MAX, seed=seed + number, **rates)
    await stack.start({org: group.paging.adapter for org, group in groups.items()})
    ended = await _all_ended(stack, orgs, known)
    await stack.order("move/stop")
    known += [one.run_id for one in ended.values()]
    requests = await stack.requests()
    return [
        await _judged(stack, org, group, ended.get(org, UNKNOWN), requests.get(org, 0)) for org, group in groups.items()
    ]


async def _all_ended(stack: Stack, orgs: Sequence[str], known: Sequence[str]) -> dict[str, Ended]:
    """Those that ended in time."""
    ended: dict[str, Ended] = {}
    try:
        async with asyncio.timeout(ROUND_SECONDS_MAX):
            while len(ended) < len(orgs):
                await asyncio.sleep(POLL_SECONDS)
                ended = await stack.ended(orgs, known)
    except TimeoutError:
        return ended
    return ended


async def _judged(stack: Stack, org: str, group: Group, end: Ended, requests: int) -> Run:
    lives = await stack.lives(org)
    fetched = await stack.fetched(org) or Fetched(0.0, 0.0, None)
    verdict = judge(lives, await stack.rows(org, group.paging.adapter), fetched.began, fetched.ended)
    return Run(
        group=group,
        org=org,
        status=end.status,
        reason=end.reason,
        seconds=fetched.ended - fetched.began,
        requests=requests,
        least=math.ceil(at(lives, fetched.began) / PAGE),
        throughout=verdict.throughout,
        missed=len(verdict.missed) if end.status == "done" else 0,
        unexplained=len(verdict.unexplained),
        proof=fetched.proof,
    )
