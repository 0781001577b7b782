"""Administration of the simulator: counters, writes, faults, expected contents."""

import hashlib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from service.dev.simulator.pages import Page, PageCache
from tests.unit.service.dev.simulator.client import PEOPLE, Api


class Bench(Api):
    """A simulator of one organisation, with its administration."""

    def __init__(self, **config: Any) -> None:
        super().__init__(orgs=("acme",), people=150, **config)

    async def rows(self, url: str) -> list[dict[str, Any]]:
        return list((await self.get(url)).json()["data"])

    async def order(self, name: str, **body: Any) -> Any:
        answer = await self.send("POST", f"/_sim/{name}", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def write(self, name: str, **body: Any) -> Any:
        return await self.order(name, org="acme", **body)

    async def counted(self, entity: str) -> Any:
        report = (await self.get(f"/_sim/counters?entity={entity}")).json()
        return report["orgs"]["acme"]["entities"][entity]


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_a_page_is_counted_by_its_sorted_query(bench: Bench) -> None:
    await bench.get(f"{PEOPLE}?per_page=10&offset=20")
    await bench.get(f"{PEOPLE}?offset=20&per_page=10")
    await bench.get(PEOPLE)
    counted = await bench.counted("people.person")
    assert counted["served"] == {f"{PEOPLE}?offset=20&per_page=10": 2, PEOPLE: 1}
    assert counted["repeated"] == {f"{PEOPLE}?offset=20&per_page=10": 2}
    assert (counted["pages"], counted["pages_served"], counted["pages_repeated"]) == (2, 3, 1)


async def test_counters_begin_again_when_reset(bench: Bench) -> None:
    await bench.get(PEOPLE)
    await bench.order("counters/reset")
    assert (await bench.get("/_sim/counters")).json() == {"orgs": {}}


async def test_a_journal_counts_across_restarts_and_forgets_a_torn_line(tmp_path: Path) -> None:
    journal = tmp_path / "served"
    first = Bench(journal=journal)
    await first.get(PEOPLE)
    first.close()
    with journal.open("ab") as file:
        file.write(b"acme\tpeople.per")
    second = Bench(journal=journal)
    await second.get(PEOPLE)
    assert (await second.counted("people.person"))["served"] == {PEOPLE: 2}
    second.close()
    lines = [line.rpartition("\t") for line in journal.read_text().splitlines()]
    assert [line for line, _, _ in lines] == [f"acme\tpeople.person\t{PEOPLE}"] * 2
    assert all(float(requested_at) > 0 for _, _, requested_at in lines)


@pytest.mark.parametrize("touch", [True, False])
async def test_an_edit_shows_on_the_next_page_and_may_leave_updated_at_alone(bench: Bench, touch: bool) -> None:
    before = (await bench.rows(PEOPLE))[0]
    await bench.write("edit", entity="people.person", id=before["id"], attributes={"nickname": "Bo"}, touch=touch)
    after = (await bench.rows(PEOPLE))[0]["attributes"]
    assert after["nickname"] == "Bo"
    assert (after["updated_at"] > before["attributes"]["updated_at"]) == touch


async def test_a_new_primary_email_demotes_the_old_one_silently(bench: Bench) -> None:
    person = (await bench.rows(PEOPLE))[0]
    emails = f"{PEOPLE}/{person['id']}/emails"
    old = (await bench.rows(emails))[0]
    new = {"primary": True, "address": "new@example.org"}
    await bench.write("insert", entity="people.email", attributes=new, relationships={"person": person["id"]})
    after = {row["id"]: row["attributes"] for row in await bench.rows(emails)}
    assert [row["address"] for row in after.values() if row["primary"]] == ["new@example.org"]
    assert after[old["id"]]["updated_at"] == old["attributes"]["updated_at"]


async def test_a_deleted_person_is_gone_with_what_hangs_on_it(bench: Bench) -> None:
    person = (await bench.rows(PEOPLE))[0]
    email = (await bench.rows(f"{PEOPLE}/{person['id']}/emails"))[0]
    await bench.write("delete", entity="people.person", id=person["id"])
    assert (await bench.get(f"{PEOPLE}/{person['id']}")).status_code == 404
    assert (await bench.get(f"/people/v2/emails/{email['id']}")).status_code == 404
    household = (await bench.rows("/people/v2/households"))[0]
    assert household["attributes"]["primary_contact_id"] is None
    assert person["id"] not in [row["id"] for row in household["relationships"]["people"]["data"]]


async def test_a_merge_moves_children_as_they_are_and_leaves_a_trace(bench: Bench) -> None:
    keep, remove = (await bench.rows(f"{PEOPLE}?per_page=2"))[:2]
    moved = (await bench.rows(f"{PEOPLE}/{remove['id']}/emails"))[0]
    await bench.write("merge", keep=keep["id"], remove=remove["id"])
    assert (await bench.get(f"{PEOPLE}/{remove['id']}")).status_code == 404
    emails = {row["id"]: row for row in await bench.rows(f"{PEOPLE}/{keep['id']}/emails")}
    assert emails[moved["id"]]["attributes"]["updated_at"] == moved["attributes"]["updated_at"]
    assert sum(row["attributes"]["primary"] for row in emails.values()) == 1
    merger = (await bench.rows("/people/v2/person_mergers?order=-created_at"))[0]["attributes"]
    assert (merger["person_to_keep_id"], merger["person_to_remove_id"]) == (keep["id"], remove["id"])


async def test_an_inserted_record_needs_nothing_but_its_entity(bench: Bench) -> None:
    made = await bench.write("insert", entity="groups.membership")
    record = (await bench.get(made["path"])).json()["data"]
    assert record["relationships"]["group"]["data"]["id"] in made["path"]


@pytest.mark.parametrize(
    ("name", "body", "problem"),
    [
        ("edit", {"entity": "people.person", "id": "1"}, "no people.person with the id '1'"),
        ("edit", {"entity": "people.shoe", "id": "1"}, "there is no entity 'people.shoe'"),
        ("insert", {"entity": "people.tab", "attributes": {"size": 9}}, "people.tab has no attribute size"),
        ("insert", {"entity": "people.email", "relationships": {"person": None}}, "'person' takes one id"),
        ("insert", {"entity": "people.email", "colour": "red"}, "colour"),
        ("merge", {"keep": "1", "remove": "1"}, "no people.person with the id '1'"),
    ],
)
async def test_a_write_that_cannot_be_is_rejected_with_a_sentence(
    bench: Bench, name: str, body: dict[str, Any], problem: str
) -> None:
    answer = await bench.send("POST", f"/_sim/{name}", json={"org": "acme", **body})
    assert answer.status_code == 400
    assert problem in answer.json()["error"]


async def test_a_storm_of_429_ends_after_its_requests(bench: Bench) -> None:
    await bench.order("faults", kind="rate_limit", requests=2, retry_after=3)
    answers = [await bench.get(PEOPLE) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [429, 429, 200]
    assert answers[0].headers["retry-after"] == "3"
    assert (await bench.counted("people.person"))["outcomes"] == {"fault:rate_limit": 2, "200": 1}


async def test_a_fault_may_be_one_entitys_own(bench: Bench) -> None:
    await bench.order("faults", kind="html", entity="people.email", status=502)
    assert (await bench.get(PEOPLE)).status_code == 200
    answer = await bench.get("/people/v2/emails")
    assert (answer.status_code, answer.headers["content-type"]) == (502, "text/html; charset=utf-8")


async def test_a_fault_with_a_chance_strikes_sometimes(bench: Bench) -> None:
    await bench.order("faults", kind="error", status=500, probability=0.5)
    assert {(await bench.get(PEOPLE)).status_code for _ in range(40)} == {200, 500}


async def test_a_lost_permission_looks_like_mass_deletion(bench: Bench) -> None:
    person = (await bench.rows(PEOPLE))[0]
    await bench.order("faults", kind="no_permission", entity="people.person")
    assert (await bench.get(PEOPLE)).json()["meta"]["total_count"] == 0
    assert (await bench.get(f"{PEOPLE}/{person['id']}")).status_code == 404
    await bench.order("faults/clear")
    assert (await bench.get(PEOPLE)).json()["meta"]["total_count"] == 150


def test_the_cache_drops_its_oldest_pages_at_its_bound() -> None:
    cache = PageCache(bytes_max=2_000)
    for number in range(4):
        cache.add(("acme", "/", b"%d" % number, b""), Page("people.tab", "/", b"x" * 300, b""))
    found = [cache.find(("acme", "/", b"%d" % number, b"")) is not None for number in range(4)]
    assert found == [False, False, True, True]


async def test_a_person_goes_from_every_product_and_a_merger_moves_none_of_its_records_there(bench: Bench) -> None:
    ids = [row["id"] for row in (await bench.document("/groups/v2/people?per_page=3"))["data"]]
    await bench.write("delete", entity="people.person", id=ids[0])
    await bench.write("merge", keep=ids[1], remove=ids[2])
    found = [(await bench.get(f"/groups/v2/people/{id}")).status_code for id in ids]
    assert found == [404, 200, 404]


async def test_a_parent_has_one_single_record(bench: Bench) -> None:
    group = (await bench.document("/groups/v2/groups"))["data"][0]
    enrollment = f"{group['links']['self']}/enrollment"
    before = (await bench.document(enrollment))["data"]
    new = {"org": "acme", "entity": "groups.enrollment", "parent": group["id"]}
    assert (await bench.send("POST", "/_sim/insert", json=new)).status_code == 400
    await bench.write("delete", entity="groups.enrollment", id=before["id"])
    assert (await bench.get(enrollment)).status_code == 404
    await bench.order("insert", **new)
    assert (await bench.document(enrollment))["data"]["links"]["self"] == enrollment


async def test_what_is_expected_is_what_pages_show_with_their_include(bench: Bench) -> None:
    one = "/_sim/expected?org=acme&entity=people.social_profile"
    without, included = await bench.document(one), await bench.document(f"{one}&include=people.social_profile:person")
    assert without["entities"] != included["entities"]
    digest = hashlib.sha256()
    rows = await bench.everything("/people/v2/social_profiles?include=person&per_page=100")
    for row in sorted(rows, key=lambda row: row["id"].encode()):
        kept = {key: row[key] for key in ("id", "type", "attributes")}
        kept["relationships"] = {"person": {"data": row["relationships"]["person"]["data"]}}
        digest.update(row["id"].encode() + b"\n" + msgspec.json.encode(kept, order="deterministic") + b"\n")
    assert included["entities"]["people.social_profile"]["sha256"] == digest.hexdigest()
