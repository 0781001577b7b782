"""What a reconciliation does about rows that it has not seen: asked for one by one, then deleted, kept or held."""

import pytest

from agents.activities.sweep import CHECKS_MAX
from agents.ledger import Comparison
from agents.ports import FetchRequest, PageBody
from tests.support.leases import DATA, LeaseBench
from topics.errors import Rejected, SluiceError
from topics.kinds.entity import FetchPages, PageDone

PETS = DATA["a.pet"]
HOUR = 3_600


class SweepBench(LeaseBench):
    """Rows that a full sync has read, of a source that has changed since. `gone` are the records that no request for a
    single one finds; `asked` are those that were asked for."""

    def __init__(self, entity: str, keys: list[str], is_ordered: bool = True) -> None:
        super().__init__(self._answer, is_ordered)
        self.entity = entity
        self.keys = keys
        self.gone: set[str] = set()
        self.asked: list[str] = []
        self.trouble: SluiceError | None = None
        self.sink.now = self.clock.now

    async def synced(self) -> "SweepBench":
        await self.commit(self.entity, 1, self.keys)
        self.clock.advance(HOUR)
        return self

    async def reconcile(self, **more: object) -> PageDone:
        workflow = f"entity-sync:acme:toy:{self.entity}:reconciliation"
        command = FetchPages(
            workflow=workflow, run=1, org="acme", adapter="toy", entity=self.entity, type="reconciliation",
            lease=1, first=1, units=100, closes=True, **more,
        )  # fmt: skip
        return await self.reader.read(command)

    @property
    def comparison(self) -> Comparison:
        (run,) = [run for run in self.sink.runs.values() if run.ref.type == "reconciliation"]
        assert run.proof is not None
        assert run.proof.comparison is not None
        return run.proof.comparison

    @property
    def stored(self) -> list[str]:
        return sorted(key for _, key in self.sink.rows[self.entity])

    def _answer(self, request: FetchRequest, body: PageBody) -> PageBody | None:
        if request.entity.under is None or not request.entity.under.one or request.parent is None:
            return body
        key = request.parent.columns.get("_record", request.parent.key)
        self.asked.append(key)
        if self.trouble is not None:
            raise self.trouble
        return None if key in self.gone else PageBody((), (), None, 1, 1)


async def pets(*others: str) -> SweepBench:
    """Those that the source has, and others that it had."""
    bench = await SweepBench("a.pet", [*PETS, *others]).synced()
    bench.gone = set(others)
    return bench


async def test_what_the_api_does_not_find_is_deleted() -> None:
    bench = await pets("x1", "x2")
    done = await bench.reconcile()
    assert (bench.stored, done.remark) == (PETS, "")
    assert bench.asked == ["p00", "x1", "x2"]  # first one that is there: the address is right
    assert (bench.comparison.missing, bench.comparison.deleted) == (2, 2)


async def test_where_nothing_is_missing_nothing_is_asked() -> None:
    bench = await pets()
    await bench.reconcile()
    assert (bench.asked, bench.comparison.missing) == ([], 0)


async def test_what_the_api_still_finds_is_kept() -> None:
    bench = await pets("x1", "x2")
    bench.gone.remove("x2")
    await bench.reconcile()
    assert bench.stored == [*PETS, "x2"]
    assert (bench.comparison.deleted, bench.comparison.kept) == (1, 1)


@pytest.mark.parametrize("reason", ["GET answered 403 (Forbidden)", "GET answered 401 (Unauthorized)"])
async def test_an_api_that_refuses_to_say_so_deletes_nothing(reason: str) -> None:
    bench = await pets("x1")
    bench.trouble = Rejected(reason)
    done = await bench.reconcile()
    assert bench.stored == [*PETS, "x1"]
    assert done.remark == (
        f"1 of 23 rows were not seen, and are not deleted, since the API does not say whether they exist: {reason}. "
        "`sluice deletes` shows them, and deletes or discards them"
    )


async def test_an_api_that_finds_no_record_at_all_deletes_nothing() -> None:
    """A permission that was lost, or a path in the manifest that is wrong, answers 404 for everything."""
    bench = await pets("x1")
    bench.gone |= set(PETS)
    done = await bench.reconcile()
    assert (bench.stored, bench.comparison.held) == ([*PETS, "x1"], 1)
    assert "the API does not find record p00 either, which its list shows" in done.remark


async def test_an_empty_list_deletes_nothing() -> None:
    bench = await pets()
    bench.source.data["a.pet"], bench.gone = [], set(PETS)
    done = await bench.reconcile()
    assert (bench.stored, bench.comparison.held) == (PETS, len(PETS))
    assert "no record was seen at all" in done.remark


@pytest.mark.parametrize(("missing", "held"), [(50, 0), (51, 51)])
async def test_more_than_the_manifest_allows_is_held(missing: int, held: int) -> None:
    others = [f"x{number:02}" for number in range(missing)]
    bench = await pets(*others)
    done = await bench.reconcile()
    while done.closed is None:
        done = await bench.reconcile(closing=True, pages=1)
    assert (bench.comparison.held, bench.comparison.deleted) == (held, missing - held)
    assert ("that is more than the 50 that may go without a question" in done.remark) == bool(held)


async def test_of_many_that_are_missing_a_sample_is_asked_for_and_all_must_be_gone() -> None:
    others = [f"x{number:04}" for number in range(150)]
    bench = await pets(*others)
    bench.gone.remove("x0000")
    done = await bench.reconcile()
    while done.closed is None:
        done = await bench.reconcile(closing=True, pages=1)
    assert len(bench.asked) <= 1 + CHECKS_MAX
    assert bench.comparison.deleted == 0
    assert "that the API was asked for, it still has 1" in done.remark


async def test_a_list_that_cannot_be_proven_deletes_nothing() -> None:
    bench = await SweepBench("a.pet", [*PETS, "x1"], is_ordered=False).synced()
    await bench.reconcile()
    assert (bench.stored, bench.asked) == ([*PETS, "x1"], [])
    assert bench.comparison.reason.startswith("nothing is deleted: ")


async def test_a_verification_asks_and_deletes_nothing() -> None:
    bench = await pets("x1")
    await bench.reconcile(verify=True)
    assert (bench.stored, bench.asked) == ([*PETS, "x1"], ["p00", "x1"])
    assert bench.comparison == Comparison(seen=22, new=0, changed=22, invisible=0, missing=1, verified=True)
