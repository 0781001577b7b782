"""Unkind APIs: how a full sync of each has to end, all side by side: none may cost the others anything."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tests.completeness.adapters import ENTITY
from tests.completeness.experiment import PAGE, POLL_SECONDS
from tests.completeness.judge import judge
from tests.completeness.stack import Ended, Fetched, Stack

PEOPLE = 730  # eight pages
LATENCY_MS = 20
SECONDS_MAX = 60.0
EMPTYING_PER_SECOND = 2_000
REQUESTS_MAX = 60  # of a sync that never has what it needs: it must notice within a few pages, and not insist

# whole: done, with every record. failed: with the evidence, within a few pages. refused: failed, or still retried.
# honest: any of these, or done and said to be unproven.
Ending = Literal["whole", "failed", "refused", "honest"]


@dataclass(frozen=True, slots=True)
class Case:
    """`faults` are orders to the simulator. `says` is in the reason of a sync that is not done."""

    name: str
    adapter: str
    ending: Ending
    faults: tuple[Mapping[str, Any], ...]
    says: str = ""
    is_empty: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """`is_proven` is None where the database has no proof."""

    status: str
    reason: str
    requests: int
    least: int
    missed: int
    unexplained: int
    is_proven: bool | None

    @property
    def ending(self) -> str:
        if self.status == "done" and (self.missed or self.unexplained):
            return "unproven" if self.is_proven is False else "silent loss"
        return "whole" if self.status == "done" else self.status


def _case(name: str, adapter: str, ending: Ending, *kinds: str, says: str = "", empty: bool = False, **of: Any) -> Case:
    return Case(name, adapter, ending, tuple({"kind": kind, **of} for kind in kinds), says, empty)


ONCE: Mapping[str, Any] = {"requests": 1, "offset": 300}
CASES = (
    _case("capped", "offset", "whole", "capped_pages", size=30),
    _case("capped-without-totals", "offset", "whole", "capped_pages", "no_total", size=30),
    _case("capped-link", "link", "whole", "capped_pages", size=30),
    _case("empty-once", "offset", "whole", "empty_page", **ONCE),
    _case("empty-once-link", "link", "whole", "empty_page", **ONCE),
    _case("empty-once-without-next", "offset", "whole", "empty_page", "no_next", **ONCE),
    _case("empty-once-without-next-link", "link", "whole", "empty_page", "no_next", **ONCE),
    _case("empty-always-at-one-page", "offset", "honest", "empty_page", offset=300),
    _case("empty-from-the-first", "offset", "refused", "empty_page", "no_next"),
    _case("empty-from-the-first-link", "link", "refused", "empty_page", "no_next"),
    _case("short-once", "offset", "whole", "short_page", **ONCE),
    _case("short-once-link", "link", "whole", "short_page", **ONCE),
    _case("short-always-at-one-page", "offset", "honest", "short_page", offset=300),
    _case("no-totals", "offset", "whole", "no_total"),
    _case("no-next", "offset", "whole", "no_next"),
    _case("neither-totals-nor-next", "offset", "honest", "no_total", "no_next"),
    _case("total-too-high", "offset", "honest", "over_claimed_total"),
    _case("total-too-high-link", "link", "honest", "over_claimed_total"),
    _case("clamped", "offset", "whole", "clamps_offset"),
    _case("clamped-without-totals", "offset", "whole", "clamps_offset", "no_total"),
    _case("offset-ignored", "offset", "failed", "ignores_offset"),
    _case("offset-ignored-without-totals", "offset", "failed", "ignores_offset", "no_total"),
    _case("offset-ignored-link", "link", "failed", "ignores_offset"),
    _case("cycle", "link", "failed", "link_cycle"),
    _case("link-elsewhere", "link", "failed", "links_elsewhere", says="elsewhere.example"),
    _case("link-too-long", "link", "failed", "long_link", says="characters"),
    _case("list-missing", "offset", "refused", "missing_list"),
    _case("list-null", "offset", "refused", "null_list"),
    _case("list-null-empty", "offset", "whole", "null_list", empty=True),
    _case("list-null-empty-link", "link", "whole", "null_list", empty=True),
    _case("millions-of-records", "offset", "refused", "many_records"),
)


def problem(case: Case, outcome: Outcome) -> str | None:
    """One sentence, if the sync did not end as it has to."""
    allowed = {
        "whole": ("whole",),
        "failed": ("failed",),
        "refused": ("failed", "running"),
        "honest": ("whole", "unproven", "failed", "running"),
    }
    facts = f"{outcome.ending}, {outcome.missed} missed, {outcome.requests} requests for {outcome.least} pages"
    sentence = f"{case.name}: {facts}: {outcome.reason[:300]}"
    if outcome.ending not in allowed[case.ending]:
        return f"{sentence} (should be {case.ending})"
    if outcome.status == "done":
        return None
    return sentence if outcome.requests > REQUESTS_MAX or case.says not in outcome.reason else None


async def outcomes(stack: Stack) -> dict[str, Outcome]:
    """Of a full sync of each case, by its name, which is its organisation's."""
    orgs = [case.name for case in CASES]
    await stack.simulate(orgs, "--people", str(PEOPLE), "--latency-ms", str(LATENCY_MS), "--no-rate-limit")
    for case in CASES:
        if case.is_empty:
            await stack.order("move", org=case.name, entity=ENTITY, deletes_per_second=EMPTYING_PER_SECOND)
        for fault in case.faults:
            await stack.order("faults", org=case.name, **fault)
    await asyncio.sleep(PEOPLE / EMPTYING_PER_SECOND + POLL_SECONDS)
    await stack.order("move/stop")
    await stack.start({case.name: case.adapter for case in CASES})
    ended = await _ended(stack, orgs)
    requests = await stack.requests()
    return {case.name: await _outcome(stack, case, ended, requests.get(case.name, 0)) for case in CASES}


async def _ended(stack: Stack, orgs: list[str]) -> dict[str, Ended]:
    """Those that ended, when all have that have to end, or when time is up."""
    finite = {case.name for case in CASES if case.ending in ("whole", "failed")}
    ended: dict[str, Ended] = {}
    for _ in range(round(SECONDS_MAX / POLL_SECONDS)):
        await asyncio.sleep(POLL_SECONDS)
        ended = await stack.ended(orgs, [])
        if finite <= ended.keys():
            break
    return ended


async def _outcome(stack: Stack, case: Case, ended: Mapping[str, Ended], requests: int) -> Outcome:
    lives = await stack.lives(case.name)
    fetched = await stack.fetched(case.name) or Fetched(0.0, 0.0, None)
    verdict = judge(lives, await stack.rows(case.name, case.adapter), fetched.began, fetched.ended)
    return Outcome(
        status=ended[case.name].status if case.name in ended else "running",
        reason=await stack.error(case.name),
        requests=requests,
        least=max(1, -(-verdict.throughout // PAGE)),
        missed=len(verdict.missed),
        unexplained=len(verdict.unexplained),
        is_proven=None if fetched.proof is None else bool(fetched.proof["complete"]),
    )
