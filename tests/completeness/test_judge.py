"""The judgement of a copy and of a run, and the plan of an experiment."""

from dataclasses import replace

import pytest

from tests.completeness.experiment import SIDE_BY_SIDE_MAX, Plan
from tests.completeness.groups import PAGINGS, Group, Run
from tests.completeness.judge import Life, Verdict, at, judge

BEGAN, ENDED = 100.0, 200.0
LIVES: dict[str, Life] = {
    "there": (None, None),
    "came before": (99.0, None),
    "came meanwhile": (150.0, None),
    "came after": (201.0, None),
    "went before": (None, 99.0),
    "went meanwhile": (None, 150.0),
    "went after": (None, 201.0),
    "came and went": (110.0, 120.0),
}
THROUGHOUT = {"there", "came before", "went after"}


def test_a_copy_must_have_what_existed_throughout_and_may_have_what_existed_meanwhile() -> None:
    assert judge(LIVES, THROUGHOUT, BEGAN, ENDED) == Verdict(3, (), ())
    assert judge(LIVES, THROUGHOUT | {"came meanwhile", "went meanwhile", "came and went"}, BEGAN, ENDED).missed == ()


def test_what_is_missed_and_what_cannot_have_been_read_is_named() -> None:
    rows = {"there", "went before", "came after", "never there"}
    missed, unexplained = ("came before", "went after"), ("came after", "never there", "went before")
    assert judge(LIVES, rows, BEGAN, ENDED) == Verdict(3, missed, unexplained)


def test_the_size_of_a_source_at_a_time() -> None:
    assert at(LIVES, BEGAN) == 4
    assert at(LIVES, 115.0) == 5


PROVEN = {"complete": True, "reason": ""}
UNPROVEN = {"complete": False, "reason": "it moves too fast"}
SLOWLY, FAST = Group(PAGINGS["offset"], True, 1.0), Group(PAGINGS["offset"], True, 50.0)
RIGHT = Run(SLOWLY, "acme", "done", "", 40.0, 203, 200, 20_000, 0, 0, PROVEN)


@pytest.mark.parametrize(
    ("run", "problems"),
    [
        (RIGHT, []),
        (replace(RIGHT, proof=None, requests=400), []),
        (replace(RIGHT, missed=2), ["says that it is complete and lacks 2 of 20000 records"]),
        (replace(RIGHT, missed=2, proof=None), ["is done and lacks 2 of 20000 records"]),
        (replace(RIGHT, unexplained=1), ["1 rows of records that did not exist meanwhile"]),
        (replace(RIGHT, status="failed", reason="no"), ["failed: no"]),
        (replace(RIGHT, proof=UNPROVEN), ["could not prove itself", "it moves too fast"]),
        (replace(RIGHT, requests=211), ["211 requests, with 200 pages"]),
        (replace(RIGHT, group=FAST, proof=UNPROVEN, requests=300), []),
    ],
)
def test_a_run_is_right_if_it_lacks_nothing_and_says_so(run: Run, problems: list[str]) -> None:
    found = "\n".join(run.problems())
    assert bool(found) == bool(problems)
    assert all(problem in found for problem in problems)


def test_a_plan_has_all_its_runs_in_rounds_that_are_not_too_large() -> None:
    plan = Plan(runs=((1.0, 60), (50.0, 20)))
    rounds = list(plan.rounds(True))
    assert [len(groups) for groups in rounds] == [50, 50, 20, 40]
    assert max(map(len, rounds)) <= SIDE_BY_SIDE_MAX
    counted = [(group.paging.name, group.moves_per_second) for groups in rounds for group in groups.values()]
    assert {group: counted.count(group) for group in counted} == {
        (paging, rate): runs for rate, runs in plan.runs for paging in plan.pagings
    }
