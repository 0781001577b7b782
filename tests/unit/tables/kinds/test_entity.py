from dataclasses import dataclass, field
from itertools import pairwise
from random import Random

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.deciders.entity.decider import EntityDecider
from tables.kinds.entity import LEASES_OUT_MAX, TRANSITIONS, EntityState
from tables.row import HistoryEntry, Row, encode_row
from tests.engine.clock import T0
from tests.support.adapters import toy
from tests.support.scenario import Scenario
from topics.actions import ActionComplete, RunAction
from topics.command import NO_COUNTS, Command, TimerDue
from topics.kinds import entity, sync
from topics.kinds.entity import FetchPages, PageDone, StartEntity

RECORD_BYTES_MAX = 4_096
STEPS_MAX = 10_000
FAILURES_MAX = 10
KEYS = [entity.KEY.key("acme", "toy", name, "full") for name in ("a.pet", "a.log")]


def state() -> EntityState:
    return EntityState(
        org="acme", adapter="toy", entity="a.pet", type="full", mode="fan-out", parent="main", parent_run=1, run=7,
        started_at=T0,
    )  # fmt: skip


def test_a_lease_over_units_that_went_out_before_moves_nothing_ahead() -> None:
    assert state().leasing(1, 8).leasing(3, 2).next_unit == 9


def test_a_lease_is_found_by_number_attempt_and_first_unit() -> None:
    leased = state().leasing(1, 4)
    again = leased.replacing(msgspec.structs.replace(leased.leases[0], attempt=2))
    assert again.lease(1, 1, 1) is None
    assert again.lease(1, 2, 5) is None
    assert again.lease(1, 2, 1) == again.lease(1, 2, None) == again.leases[0]


@dataclass
class Run:
    """A run over a source of `units` units that claims to have `claim`; fetchers forget, fail and repeat themselves."""

    key: str
    units: int
    claim: int | None
    random: Random
    now: int = T0
    out: list[FetchPages] = field(default_factory=list)
    reported: list[PageDone] = field(default_factory=list)
    counted: set[int] = field(default_factory=set)
    row: Row[EntityState] = field(default_factory=Row)

    def __post_init__(self) -> None:
        self.made: Scenario[EntityState] = Scenario(EntityDecider({"toy": toy()}))
        parent = sync.KEY.key("acme", "toy", "full")
        self.receive(StartEntity(workflow=self.key, parent=parent, parent_run=1))

    @property
    def is_over(self) -> bool:
        return self.made.state.has_ended

    @property
    def is_closing(self) -> bool:
        return self.made.state.status == "finishing" and not self.made.state.close_at

    def receive(self, command: Command) -> None:
        before = self.row.state
        self.made.when(command, at=self.now)
        self.out += [one for one in self.made.commands if isinstance(one, FetchPages)]
        self.row = msgspec.structs.replace(self.row, state=self.made.state, seq=self.row.seq + 1)
        self.row = self.row.with_event(HistoryEntry(self.row.seq, self.now, command.id, "x" * 80))
        if (
            isinstance(command, PageDone)
            and command.units
            and before is not None
            and before.units != self.made.state.units
        ):
            self._count(before, command)
        self._check(before)

    def _count(self, before: EntityState, done: PageDone) -> None:
        lease = next(one for one in before.leases if one.number == done.lease)
        units = set(range(lease.first, lease.first + done.units))
        assert not units & self.counted, "a unit was counted twice"
        self.counted |= units

    def _check(self, before: EntityState | None) -> None:
        state = self.made.state
        assert before is None or state.status in (before.status, *TRANSITIONS[before.status])
        assert len(state.leases) <= LEASES_OUT_MAX
        spans = sorted((lease.first, lease.end) for lease in state.leases)
        assert all(end <= first for (_, end), (first, _) in pairwise(spans)), "a unit is out twice"
        assert len(encode_row(self.row)) < RECORD_BYTES_MAX
        assert (state.due > 0) != state.has_ended
        backs_off = bool(state.leases) and all(lease.resume_at for lease in state.leases)
        assert self.made.pending_commands or backs_off or state.close_at

    def disturb(self) -> None:
        """Something happens: a result, maybe half of it, a result again, a failure, a lost command, a timer."""
        match self.random.choice(["result", "result", "result", "fail", "repeat", "lose", "timer"]):
            case "result" if self.out:
                self.receive(self.result(self.random.choice(self.out), is_whole=False))
            case "fail" if self.out:
                self.receive(self.failure(self.random.choice(self.out)))
            case "fail" if self.is_closing and self.made.state.close_attempt < FAILURES_MAX:
                self.receive(self.closed(error="retryable"))
            case "repeat" if self.reported:
                self.receive(self.random.choice(self.reported))
            case "lose" if self.out:
                self.out.remove(self.random.choice(self.out))
            case "timer":
                self.pass_time()

    def proceed(self) -> None:
        """What is out comes back; what is lost is sent again by the timer."""
        if self.out:
            self.receive(self.result(self.out.pop(0), is_whole=True))
        elif self.is_closing:
            self.receive(self.closed())
        else:
            self.pass_time()

    def pass_time(self) -> None:
        if not self.is_over:
            self.now = max(self.now, self.made.state.due)
            self.receive(TimerDue(workflow=self.key, due=self.made.state.due))

    def result(self, lease: FetchPages, is_whole: bool) -> PageDone:
        if lease.closing:
            return self._done(lease, 0, closed=NO_COUNTS if is_whole else None)
        left = max(self.units - lease.first + 1, 1)  # behind the end there is an empty page
        most = min(lease.units, left)
        units = most if is_whole else self.random.randint(1, most)
        return self._done(lease, units, end=units == left)

    def failure(self, lease: FetchPages) -> PageDone:
        if lease.attempt >= FAILURES_MAX:
            return self.result(lease, is_whole=True)
        most = 0 if lease.closing else min(lease.units - 1, max(self.units - lease.first, 0))
        return self._done(lease, self.random.randint(0, most), error="retryable", reason="503")

    def _done(self, lease: FetchPages, units: int, **more: object) -> PageDone:
        cursor = f"page-{lease.first + units}" if lease.cursor or self.key == KEYS[1] else None
        done = PageDone.model_validate(
            {
                "workflow": self.key, "run": lease.run, "lease": lease.lease, "attempt": lease.attempt, "units": units,
                "pages": units, "records": units, "total_units": self.claim, "next_cursor": cursor,
                "elapsed_ms": self.random.randint(0, 2_000), **more,
            }
        )  # fmt: skip
        self.reported.append(done)
        return done

    def closed(self, **more: object) -> ActionComplete:
        (close,) = self.made.pending_commands
        assert isinstance(close, RunAction)
        result = {"pages": 0, "records": 0, "rejected": 0, **close.input}
        return ActionComplete.model_validate(
            {
                "workflow": self.key, "run": close.run, "action": close.action, "step": close.step,
                "attempt": close.attempt, "result": result, **more,
            }
        )  # fmt: skip

    def finish(self) -> None:
        for _ in range(STEPS_MAX):
            if self.is_over:
                break
            self.proceed()


@settings(deadline=None)
@given(
    key=st.sampled_from(KEYS),
    units=st.integers(0, 60),
    claim=st.none() | st.integers(0, 120),
    steps=st.integers(0, 80),
    random=st.randoms(use_true_random=False),
)
def test_every_unit_is_counted_once_whatever_happens_on_the_way(
    key: str, units: int, claim: int | None, steps: int, random: Random
) -> None:
    run = Run(key, units, claim, random)
    for _ in range(steps):
        run.disturb()
    run.finish()
    assert run.made.state.status == "done"
    assert set(range(1, units + 1)) <= run.counted


def test_any_number_of_units_needs_no_larger_record_than_ten() -> None:
    run = Run(KEYS[0], 200_000, 200_000, Random(1))
    run.finish()
    assert run.made.state.units == 200_000
