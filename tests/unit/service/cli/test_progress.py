"""The board and the plain lines: their size, their folding, their texts."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from service.cli.progress import Block, Board, Pending, changes, totals
from service.read_model.progress import RunProgress, RunView, Snapshot
from tables.kinds.sync import Child, ChildStatus, SyncState

NOW = 1_700_000_000_000


def view(status: ChildStatus = "running", count: int = 49, org: str = "acme", **child: object) -> RunView:
    entity = Child(status, started_at=NOW, ended_at=0 if status in ("running", "waiting") else NOW + 4_000, **child)  # type: ignore[arg-type]  # fields of one test each
    children = {f"people.entity_{number:02}": entity for number in range(count)}
    sync = SyncState(org, "pco", "full", 1, "r1", NOW, children=children)
    return RunProgress().view(Snapshot(0.0, NOW + 60_000, sync, ()))


def drawn(*blocks: Block, width: int = 80, height: int = 24, notice: str = "") -> list[str]:
    screen = Console(file=io.StringIO(), force_terminal=True, width=width, height=height, color_system=None)
    with screen.capture() as captured:
        screen.print(Board(blocks, NOW, notice))
    return captured.get().splitlines()


@pytest.mark.parametrize("width", [30, 60, 80, 120])
@pytest.mark.parametrize("height", [5, 24, 60])
@pytest.mark.parametrize("runs", [1, 2, 9, 50])
def test_the_board_fits_any_terminal(width: int, height: int, runs: int) -> None:
    lines = drawn(*[view("failed", reason="x" * 500)] * runs, width=width, height=height, notice="lost")
    assert len(lines) < height
    assert max(map(len, lines)) <= width


def test_entities_that_do_not_fit_are_folded_and_counted() -> None:
    assert drawn(view("waiting"))[-1].startswith("  … 29 waiting")


def test_a_failed_entity_shows_why_below_it_and_a_blocked_one_beside_it() -> None:
    assert drawn(view("failed", 1, reason="403 from\nthe API"))[-1].strip() == "403 from the API"
    assert drawn(view("blocked", 1, reason="a.house failed"))[-1].endswith("blocked: a.house failed")


def test_many_runs_take_a_line_each_and_those_that_run_stand_first() -> None:
    done = replace(view("done", 1), status="done")
    lines = drawn(done, *[Pending(f"org-{number}", "queued") for number in range(30)])
    assert (lines[0][2:], lines[-1]) == ("org-0  queued", "  … and 9 more")


def test_what_is_waited_for_stands_where_the_run_will_be_and_a_notice_below() -> None:
    refused = Pending("acme  pco full", "rejected: no", is_trouble=True)
    assert drawn(refused, notice="it does not answer") == ["✗ acme  pco full  rejected: no", "it does not answer"]


def test_there_is_a_plain_line_when_an_entity_starts_and_when_it_ends() -> None:
    before, after, failed = view("waiting", 1), view("running", 1), view("failed", 1, reason="403", rejected=1_000)
    ended = view("done", 1, pages=3, records=1_200, rejected=2)
    for old, new, lines in (
        (before, after, ["acme people.entity_00 started"]),
        (after, ended, ["acme people.entity_00 done: 1,200 records on 3 pages in 4 s, 2 rejected"]),
        (ended, ended, []),
        (None, failed, ["acme people.entity_00 failed: 1,000 records rejected; 403"]),
    ):
        assert list(changes(old, new, NOW)) == lines


def test_totals_are_one_line() -> None:
    assert totals(view("running", 2)) == ("acme pco full running: 2 running; 0 records on 0 pages, 0 records/s, 1 min")
