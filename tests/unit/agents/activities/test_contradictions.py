"""Pages that contradict themselves, or the page before: asked for again, and then the entity fails with the figures."""

from typing import Any

import pytest
from msgspec.structs import replace

from agents.activities.layout import Layout, layout_of
from agents.core.retry import CONTRADICTION
from agents.ports import FetchRequest, PageBody
from tests.support.adapters import toy
from tests.support.leases import LeaseBench
from tests.unit.agents.activities.test_enumeration import ordered, read_whole

ATTEMPTS = CONTRADICTION.attempts_max or 0
AGAIN = f"contradicts itself, {ATTEMPTS} times: "
NOT_BEHIND = (
    "its records do not come behind those of the page before: does the API know the parameter that asks for it?"
)


def empty(body: PageBody, **more: Any) -> PageBody:
    return replace(body, rows=(), records=0, first=None, last=None, **more)


def first_page_again(request: FetchRequest, body: PageBody) -> PageBody:
    rows = tuple(row for row in body.rows[:0])
    return PageBody(rows, (), "?offset=4", 22, 4, "p00", "p03")


@pytest.mark.parametrize(
    ("entity", "page", "answer", "reason"),
    [
        (
            "a.pet", 1, lambda body: empty(body, next=None),
            "it has no records at offset 0, and says that there are 22 in all",
        ),
        (
            "a.pet", 3, lambda body: empty(body, next=None),
            "it has no records at offset 4, and says that there are 22 in all",
        ),
        ("a.pet", 3, lambda body: empty(body, total=None), "it has no records at offset 4, and names a next page"),
        (
            "a.log", 3, lambda body: replace(body, next=None),
            "it names no next page after 4 records at offset 4, and says that there are 40 in all",
        ),
    ],
)  # fmt: skip
async def test_a_page_that_contradicts_itself_ends_its_entity_only_if_it_stays_so(
    entity: str, page: int, answer: Any, reason: str
) -> None:
    wrong: list[int] = []

    def sometimes(request: FetchRequest, body: PageBody) -> PageBody:
        if request.page != page or len(wrong) >= allowed:
            return body
        wrong.append(page)
        changed: PageBody = answer(body)
        return changed

    for allowed in (1, ATTEMPTS):
        wrong.clear()
        bench = ordered(change=sometimes)
        done = await bench.read(entity, 32)
        if allowed == 1:
            assert (done.error, done.end, done.records) == (None, True, len(bench.source.data[entity]))
        else:
            assert (done.units, done.error) == (page - 1, "rejected")
            assert done.reason == f"page {page} of {entity} {AGAIN}{reason}"


@pytest.mark.parametrize("entity", ["a.pet", "a.log"])
@pytest.mark.parametrize("make", [ordered, LeaseBench])
async def test_an_api_that_ignores_what_page_is_asked_for_is_found_on_the_second_page(make: Any, entity: str) -> None:
    bench = make(change=first_page_again)
    done = await bench.read(entity, 32)
    assert (done.units, done.error) == (1, "rejected")
    assert done.reason == f"page 2 of {entity} {AGAIN}{NOT_BEHIND}"


async def test_records_beyond_the_total_are_believed_only_where_their_order_proves_that_they_are_new() -> None:
    for make, error in ((ordered, None), (LeaseBench, "rejected")):
        done = await make(change=lambda request, body: replace(body, total=9)).read("a.pet", 1, first=4)
        assert done.error == error
    assert done.reason == f"page 4 of a.pet {AGAIN}it has 4 records at offset 12, and says that there are only 9 in all"


async def test_an_api_that_puts_fewer_records_on_a_page_than_asked_is_read_whole() -> None:
    def capped(request: FetchRequest, body: PageBody) -> PageBody:
        rows = body.rows[: max(3 - request.cut().overlap, 0)]
        following = (request.start or 0) + 3
        link = f"?offset={following}" if following < 22 else None
        return replace(body, rows=rows, records=min(3, body.records), last=rows[-1].key, next=link)

    for make, pages in ((ordered, 20), (LeaseBench, 8)):
        bench = make(change=capped)
        done = await bench.read("a.pet", 32)
        assert (done.units, done.records, done.end, done.page_size) == (pages, 22, True, 3)
        rest = await make(change=capped).read("a.pet", 2, first=5, page_size=3)
        assert (rest.units, rest.records) == (2, 2 if make is ordered else 6)


@pytest.mark.parametrize("entity", ["a.pet", "a.log"])
@pytest.mark.parametrize("records_max", [1, 2, 3])
async def test_an_api_whose_pages_are_not_longer_than_the_overlap_is_read_whole(entity: str, records_max: int) -> None:
    bench = ordered()
    bench.source.records_max = records_max
    done = await read_whole(bench, entity)
    assert done.closed is not None
    assert (done.closed.records, done.remark == "") == (len(bench.source.data[entity]), records_max > 1)


@pytest.mark.parametrize("make", [ordered, LeaseBench])
async def test_a_sole_record_that_is_shown_again_on_each_page_ends_the_entity(make: Any) -> None:
    bench = make(change=lambda request, body: PageBody(body.rows, (), f"?at={request.page}", None, 1, "a", "a"))
    done = await bench.read("a.log", 32)
    assert (done.units, done.error) == (1, "rejected")


def test_a_link_with_an_offset_is_followed_from_the_last_records_of_the_page_before() -> None:
    layout = layout_of(toy(is_ordered=True), toy(is_ordered=True).entities["a.log"], None)
    for link, start, followed in (
        ("https://x/a?offset=100&per_page=4", 98, "https://x/a?offset=98&per_page=4"),
        ("/a?per_page=4&offset=100", 98, "/a?per_page=4&offset=98"),
        ("/a?myoffset=100", None, "/a?myoffset=100"),
        ("/a?after=b2Zmc2V0", None, "/a?after=b2Zmc2V0"),
    ):
        address = layout.following(link)
        assert (address.start, address.link) == (start, followed)
        assert address.overlap == (0 if start is None else 2)


@pytest.mark.parametrize(("records", "pages"), [(0, 1), (1, 1), (100, 1), (101, 2), (198, 2), (199, 3), (20_000, 205)])
def test_pages_of_a_hundred_that_overlap_by_two_are_two_in_a_hundred_more(records: int, pages: int) -> None:
    assert Layout(100, 2, "offset", False, True).pages(records) == pages
