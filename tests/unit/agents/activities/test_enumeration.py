"""Reads of collections that move: no record that existed throughout is missed, or the run says that it cannot know."""

import asyncio
from collections.abc import Callable
from random import Random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from agents.activities import enumeration
from agents.ports import FetchRequest, LeaseRequest, PageBody, RunRef
from tests.support.leases import RUN, LeaseBench
from topics.kinds.entity import PageDone

NO_ORDER = "the manifest names no order of the records that never changes, so the pages cannot be compared"


class Moving:
    """A collection whose records come and go between any two requests. `throughout`: those that were always there."""

    def __init__(self, bench: LeaseBench, entity: str, records: int) -> None:
        self._keys = bench.source.data[entity] = [f"{number:06}" for number in range(records)]
        self._next = records
        self.throughout = set(self._keys)

    def delete(self, position: int) -> None:
        if self._keys:
            self.throughout.discard(self._keys.pop(position % len(self._keys)))

    def insert(self) -> None:
        self._keys.append(f"{self._next:06}")
        self._next += 1


def ordered(change: Callable[..., PageBody] = lambda request, body: body) -> LeaseBench:
    return LeaseBench(change, is_ordered=True)


async def read_whole(bench: LeaseBench, entity: str) -> PageDone:
    """As the decider has it read: leases until the end, then the one that closes the run."""
    first, cursor, lease, size = 1, None, 1, None
    while True:
        done = await bench.read(entity, 32, first=first, cursor=cursor, lease=lease, page_size=size)
        assert done.error is None, done.reason
        first, cursor, lease, size = first + done.units, done.next_cursor, lease + 1, done.page_size
        if done.end:
            break
    while done.closed is None:
        done = await bench.read(entity, 1, first=first, closing=True, lease=lease, page_size=size)
        assert done.error is None, done.reason
    return done


def seen(bench: LeaseBench, entity: str) -> set[str]:
    return {key for _, key in bench.sink.rows.get(entity, {})}


@pytest.mark.parametrize("entity", ["a.pet", "a.log"])
@settings(deadline=None, max_examples=60)
@example(records=24, per_request=3, seed=123189, stops=True)  # the records on both sides of the gap are gone
@example(records=48, per_request=2, seed=578, stops=True)  # what is known of the way is too old
@given(
    records=st.integers(0, 90),
    per_request=st.integers(0, 3),
    seed=st.integers(0, 10**6),
    stops=st.booleans(),
)
def test_no_record_that_existed_throughout_is_missed(
    entity: str, records: int, per_request: int, seed: int, stops: bool
) -> None:
    async def story() -> None:
        bench, random = ordered(), Random(seed)
        source = Moving(bench, entity, records)

        def move(request: FetchRequest) -> None:
            is_still = stops and len(bench.source.served) > records // 3
            for _ in range(0 if is_still else random.randint(0, per_request)):
                if random.random() < 0.5:
                    source.insert()
                else:
                    source.delete(random.randrange(1_000))

        bench.source.on_fetch = move
        done = await read_whole(bench, entity)
        missed = source.throughout - seen(bench, entity)
        assert not missed or done.remark
        assert not stops or not done.remark

    asyncio.run(story())


async def test_a_record_that_moved_over_a_boundary_is_read_by_a_repair_and_the_proof_says_so() -> None:
    bench = ordered()
    source = Moving(bench, "a.pet", 22)

    def delete_two(request: FetchRequest) -> None:
        if request.page == 4:
            source.delete(0)
            source.delete(0)

    bench.source.on_fetch = delete_two
    done = await read_whole(bench, "a.pet")
    assert source.throughout <= seen(bench, "a.pet")
    (run,) = bench.sink.runs.values()
    assert run.proof is not None
    assert (run.proof.complete, run.proof.reason) == (True, "all boundaries between pages meet")
    assert (run.proof.repairs, run.proof.boundaries, run.proof.total_first) == (1, 10, 22)
    assert (done.remark, done.closed) == ("", run.counts)


async def test_a_record_that_goes_between_two_readings_leaves_no_gap() -> None:
    bench = ordered()
    source = Moving(bench, "a.log", 40)
    bench.source.on_fetch = lambda request: source.delete(0) if request.page % 3 == 0 else None
    done = await read_whole(bench, "a.log")
    assert source.throughout <= seen(bench, "a.log")
    (run,) = bench.sink.runs.values()
    assert run.proof is not None
    assert (run.proof.repairs, done.remark) == (0, "")


async def test_what_does_not_move_costs_two_records_a_page_and_counts_each_record_once() -> None:
    bench = ordered()
    done = await read_whole(bench, "a.pet")
    assert done.closed is not None
    assert (done.closed.pages, done.closed.records, bench.pages) == (10, 22, list(range(1, 11)))


async def test_without_an_order_a_run_of_several_pages_says_that_it_proves_nothing() -> None:
    bench = LeaseBench()
    assert (await read_whole(bench, "a.pet")).remark == f"not proven complete: {NO_ORDER}"
    assert (await read_whole(bench, "a.house")).remark == ""


async def test_a_list_that_is_not_in_its_order_proves_nothing() -> None:
    bench = ordered(change=lambda request, body: replace(body, first=None, last=None) if request.page == 2 else body)
    done = await read_whole(bench, "a.pet")
    assert done.remark == "not proven complete: the records of page 2 are not in the order that the manifest names"


async def test_repairs_have_a_maximum(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enumeration, "REPAIRS_MIN", 2)
    monkeypatch.setattr(enumeration, "REPAIRS_PER_PAGE_MAX", 0)
    bench = ordered()
    source = Moving(bench, "a.pet", 60)

    def delete_two(request: FetchRequest) -> None:
        source.delete(0)
        source.delete(0)

    bench.source.on_fetch = delete_two
    done = await read_whole(bench, "a.pet")
    assert done.remark.startswith("not proven complete: behind record ")
    assert done.remark.endswith("the pages still do not meet after 2 repairs: the source moves too fast")


async def test_pages_that_the_database_lost_are_read_again_when_the_run_is_closed() -> None:
    for entity in ("a.pet", "a.log"):
        bench = ordered()
        await bench.read(entity, 32)
        (run,) = bench.sink.runs.values()
        run.state, run.proof, run.counts, run.lines = "open", None, None, {}
        bench.sink.rows.clear()
        done = await bench.read(entity, 1, first=8 if entity == "a.pet" else 14, closing=True, lease=2)
        assert done.closed is not None
        assert done.closed.records == len(bench.source.data[entity])
        assert seen(bench, entity) == set(bench.source.data[entity])


async def test_a_run_of_which_the_database_lost_every_line_and_no_page_is_missing_by_number_is_repaired() -> None:
    bench = ordered()
    done = await bench.read("a.pet", 1, first=1, closing=True)
    assert done.closed is not None
    assert seen(bench, "a.pet") == set(bench.source.data["a.pet"])


async def test_lost_pages_of_a_chain_that_has_become_shorter_are_read_up_to_its_new_end() -> None:
    bench = ordered()
    units = (await bench.read("a.log", 32)).units
    (run,) = bench.sink.runs.values()
    run.lines = {place: line for place, line in run.lines.items() if line.page < 5}
    del bench.source.data["a.log"][12:]
    read: list[PageDone] = []
    while not read or read[-1].closed is None:
        read.append(await bench.read("a.log", 1, first=units + 1, closing=True, lease=2))
        assert (read[-1].error, len(read) < 4) == (None, True)
    assert read[-1].remark == ""


async def test_parents_that_the_database_lost_are_read_again_when_the_run_is_closed() -> None:
    bench = ordered()
    bench.add_parents("h1", "h2")
    await bench.commit("a.room", 1, ["h2-0"], parent="h2", is_last=True)
    done = await bench.read("a.room", 1, first=3, closing=True, pages=3)
    assert (done.pages, done.records, done.remark) == (2, 5, "")
    assert done.closed is not None
    assert done.closed.pages == 3


async def test_a_run_with_fewer_pages_than_were_reported_is_not_proven() -> None:
    bench = ordered()
    bench.add_parents("h1")
    done = await bench.read("a.room", 1, first=2, closing=True, pages=9)
    assert done.remark == "not proven complete: 9 pages were reported, and the database has 2"


async def test_a_lease_that_closes_stops_when_its_time_is_up_and_the_next_one_continues() -> None:
    bench = ordered()
    source = Moving(bench, "a.pet", 40)

    def delete_three(request: FetchRequest) -> None:
        for _ in range(3):
            source.delete(0)

    bench.source.on_fetch = delete_three
    units = (await bench.read("a.pet", 32)).units
    bench.source.on_fetch = lambda request: bench.clock.advance(5)
    read: list[PageDone] = []
    while not read or read[-1].closed is None:
        read.append(await bench.read("a.pet", 1, first=units + 1, closing=True, lease=2))
    assert len(read) > 2
    assert {done.pages for done in read[:-1]} == {1}
    assert source.throughout <= seen(bench, "a.pet")


async def test_a_run_that_another_has_closed_is_fenced() -> None:
    bench = ordered()
    ref = RunRef("entity-sync:acme:toy:a.pet:full", RUN + 1, "acme", "toy", "a.pet", "full")
    await bench.read("a.pet", 2, closes=False)
    await bench.sink.open_leases([LeaseRequest(ref, 1, 1)])
    assert (await bench.read("a.pet", 1, first=3, closing=True)).error == "fenced"
