"""Deltas: no change is missed that was made before a delta began, whatever is changed while it reads."""

from datetime import timedelta
from random import Random

import pytest

from agents.activities import changes
from tests.support.changing import BEGIN, LOOKBACK, PAGE, WAYS, ChangesBench
from topics.errors import Rejected

pytestmark = pytest.mark.parametrize("way", WAYS)
EDITED = [way for way in WAYS if way != "append"]  # a log's records never change
SEEDS = 40


def agree(bench: ChangesBench) -> bool:
    """Whether each record of the source is in the copy as it is now. Of those that were deleted rows are left."""
    return bench.stored().items() >= bench.source.versions().items()


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_deltas_keep_up_with_a_source_that_changes_while_it_is_read(way: str, seed: int) -> None:
    random = Random(seed)
    bench = ChangesBench(way, random, records=random.randint(1, 12))
    for number in range(4):
        bench.source.moves = random.choice((0, 1, 1, 3))
        await bench.sync("full" if number == 0 else "delta")
        bench.source.pass_time(random.choice((0, 1, 300)))
    bench.source.moves = 0
    await bench.sync("delta")
    assert agree(bench)


async def test_a_first_delta_reads_everything(way: str) -> None:
    bench = ChangesBench(way, Random(1))
    await bench.sync("delta")
    assert agree(bench)
    assert bench.watermark == BEGIN - timedelta(seconds=LOOKBACK)


async def test_a_delta_asks_for_little_more_than_what_changed(way: str) -> None:
    bench = ChangesBench(way, Random(1), records=100)
    bench.source.pass_time(3_600)
    await bench.sync("full")
    bench.source.insert()
    bench.source.pass_time(3_600)
    await bench.sync("delta")
    bench.source.requests.clear()
    bench.source.insert()
    await bench.sync("delta")
    assert agree(bench)
    assert len(bench.source.requests) <= 1 + (2 * LOOKBACK) // PAGE // 30


async def test_a_watermark_moves_with_its_run_and_never_back(way: str) -> None:
    bench = ChangesBench(way, Random(1))
    await bench.sync("full")
    known = bench.watermark
    assert known is not None
    bench.source.pass_time(600)
    bench.source.insert()
    await bench.sync("delta")
    moved = bench.watermark
    assert moved is not None
    assert timedelta(seconds=600) <= moved - known < timedelta(seconds=630)
    bench.source.skew = -timedelta(hours=1)  # a clock that was set back
    bench.source.insert()
    await bench.sync("full")
    assert bench.watermark == moved


async def test_hundreds_of_records_of_one_second_are_read_again_until_a_later_one_is_known(way: str) -> None:
    bench = ChangesBench(way, Random(1), records=300)
    await bench.sync("full")
    await bench.sync("delta")
    bench.source.insert()  # still in that second
    await bench.sync("delta")
    assert agree(bench)


async def test_a_record_that_shows_late_is_read_within_the_lookback(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if way == "append":
        pytest.skip("a log's records never change")

    async def stale() -> bool:
        bench = ChangesBench(way, Random(1))
        bench.source.pass_time(600)
        bench.source.insert()
        await bench.sync("full")
        bench.source.pass_time(10)
        bench.source.edit("00001", late=LOOKBACK - 15)
        await bench.sync("delta")
        return not agree(bench)

    assert not await stale()
    monkeypatch.setattr(changes, "SECOND", timedelta(0))
    assert await stale() or way == "order"  # that reads the page to its end


async def test_an_api_that_ignores_the_filter_is_read_whole_and_that_is_noted(way: str) -> None:
    if way not in ("where", "where-and-order"):
        pytest.skip("it asks for no filter")
    bench = ChangesBench(way, Random(1), records=30)
    await bench.sync("full")
    bench.source.pass_time(3_600)
    bench.source.edit("00030")
    await bench.sync("full")
    bench.source.has_filter = False
    bench.source.edit("00007")
    await bench.sync("delta")
    assert agree(bench)
    assert bench.sink.ignored == {("acme", "toy", bench.entity)}


async def test_a_page_behind_the_first_that_is_too_old_contradicts_itself_a_repair_too(way: str) -> None:
    if way not in ("where", "where-and-order"):
        pytest.skip("it asks for no filter")
    bench = ChangesBench(way, Random(1), records=9)
    bench.source.has_filter = False
    since = BEGIN + timedelta(hours=1)
    pages = bench.pages(since)
    for number in (2, -1):
        with pytest.raises(Rejected, match=r"it shows a change of .*, and was asked for those since"):
            await pages.fetch(number, pages.layout().at(0), pages.layout())


async def test_with_a_watermark_in_the_future_the_whole_run_reads_everything_and_that_is_noted(way: str) -> None:
    bench = ChangesBench(way, Random(1), records=30)
    bench.sink.watermarks["acme", "toy", bench.entity] = BEGIN + timedelta(hours=1)
    bench.source.on_request = lambda: bench.source.pass_time(600)  # until the watermark lies in the past
    await bench.sync("delta")
    assert agree(bench)
    assert {str(request.entity.reads.full.query) for request in bench.source.requests} == {"{}"}
    assert {request.entity.paging.style for request in bench.source.requests} == {"offset"}
    assert bench.sink.ignored == {("acme", "toy", bench.entity)}
