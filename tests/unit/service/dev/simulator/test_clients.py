"""Writes of the simulated API's clients, and what they are answered."""

from typing import Any

import httpx
import pytest

from tests.unit.service.dev.simulator.client import EMAILS, PEOPLE, Api

HOUSEHOLDS = "/people/v2/households"


@pytest.fixture
def api() -> Api:
    return Api()


def payload(relationships: dict[str, Any] | None = None, **attributes: Any) -> dict[str, Any]:
    related = {name: {"data": data} for name, data in (relationships or {}).items()}
    return {"data": {"attributes": attributes, "relationships": related}}


def person(id: str) -> dict[str, str]:
    return {"type": "Person", "id": id}


async def first(api: Api, path: str) -> Any:
    return (await api.document(path))["data"][0]


def problem(answer: httpx.Response) -> Any:
    (found,) = answer.json()["errors"]
    return found


async def test_a_person_is_created_changed_and_deleted(api: Api) -> None:
    answer = await api.send("POST", PEOPLE, json=payload(first_name="Ada", last_name="Novák", grade="4", child=True))
    created = answer.json()["data"]
    assert answer.status_code == 201
    assert (
        created["attributes"] | {"first_name": "Ada", "name": "Ada Novák", "grade": 4, "child": True}
        == (created["attributes"])
    )
    assert (created["attributes"]["status"], created["attributes"]["gender"]) == ("active", None)
    assert created["attributes"]["created_at"] == "2026-06-01T00:00:00Z"

    api.clock.advance(60)
    own = created["links"]["self"]
    answer = await api.send("PATCH", own, json=payload(nickname="Addie", status="inactive", birthdate="in spring"))
    changed = answer.json()["data"]["attributes"]
    assert (answer.status_code, changed["name"], changed["birthdate"]) == (200, "Addie Novák", None)
    assert changed["updated_at"] == changed["inactivated_at"] == "2026-06-01T00:01:00Z"
    assert (await api.document(own))["data"]["attributes"] == changed

    answer = await api.send("DELETE", own)
    assert (answer.status_code, answer.content) == (204, b"")
    assert (await api.get(own)).status_code == 404
    assert (await api.send("DELETE", own)).status_code == 404


async def test_a_child_is_created_below_its_parent_and_demotes_the_primary_one(api: Api) -> None:
    email = await first(api, EMAILS)
    owner = email["relationships"]["person"]["data"]
    new = payload(address="new@example.org", location="Home", primary=True)
    answer = await api.send("POST", f"{PEOPLE}/{owner['id']}/emails", json=new)
    assert answer.json()["data"]["relationships"]["person"]["data"] == owner
    old = (await api.document(email["links"]["self"]))["data"]["attributes"]
    assert (old["primary"], old["updated_at"]) == (False, email["attributes"]["updated_at"])


async def test_a_household_has_the_members_that_it_is_given(api: Api) -> None:
    ids = [row["id"] for row in (await api.document(PEOPLE))["data"][:3]]
    related = {"people": [person(id) for id in ids[:2]], "primary_contact": person(ids[0])}
    created = (await api.send("POST", HOUSEHOLDS, json=payload(related, name="Novák"))).json()["data"]
    own = created["links"]["self"]
    members = await api.document(f"{own}/household_memberships")
    assert [row["relationships"]["person"]["data"]["id"] for row in members["data"]] == ids[:2]
    assert created["attributes"]["member_count"] == 2

    await api.send("PATCH", own, json=payload({"people": [person(id) for id in ids[1:]]}))
    assert (await api.document(own))["data"]["relationships"]["people"]["data"] == [person(id) for id in ids[1:]]
    membership = await first(api, f"{own}/household_memberships")
    assert (await api.send("DELETE", membership["links"]["self"])).status_code == 204
    assert (await api.document(own))["data"]["attributes"]["member_count"] == 1


async def test_a_note_names_its_category_by_an_attribute(api: Api) -> None:
    notes = f"{(await first(api, PEOPLE))['links']['self']}/notes"
    category = (await first(api, "/people/v2/note_categories"))["id"]
    created = await api.send("POST", notes, json=payload(note="Called.", note_category_id=category))
    assert created.json()["data"]["attributes"]["note_category_id"] == int(category)
    assert (await api.send("POST", notes, json=payload(note="Called.", note_category_id="1"))).status_code == 404


async def test_a_workflow_may_name_a_campus_and_a_category_that_is_not_simulated(api: Api) -> None:
    campus = (await first(api, "/people/v2/campuses"))["id"]
    new = payload(name="Visitors", campus_id=campus, workflow_category_id="7")
    created = (await api.send("POST", "/people/v2/workflows", json=new)).json()["data"]
    assert (created["attributes"]["name"], created["attributes"]["campus_id"]) == ("Visitors", campus)
    assert created["relationships"]["campus"]["data"]["id"] == campus


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b'{"first_name": "Ada"}', "The payload given does not contain a 'data' key."),
        (b'{"data": [{"attributes": {}}]}', "Your request could not be processed"),
        (b"first_name=Ada", "Your request could not be processed"),
    ],
)
async def test_what_is_no_payload_is_400(api: Api, body: bytes, detail: str) -> None:
    answer = await api.send("POST", PEOPLE, content=body)
    assert answer.status_code == 400
    expected = {"status": "400", "title": "Bad Request", "code": "invalid_resource_payload", "detail": detail}
    assert problem(answer) == expected


async def test_what_a_record_cannot_be_without_is_422(api: Api) -> None:
    answer = await api.send("POST", EMAILS, json=payload(address="a@example.org", location="Home"))
    assert answer.status_code == 422
    assert problem(answer) == {
        "status": "422",
        "title": "Validation Error",
        "detail": "can't be blank",
        "source": {"parameter": "person"},
        "meta": {"resource": "Email"},
    }
    email = await first(api, EMAILS)
    answer = await api.send("PATCH", email["links"]["self"], json=payload(address=""))
    assert (answer.status_code, problem(answer)["source"]) == (422, {"parameter": "address"})


@pytest.mark.parametrize(
    ("attributes", "parameter"), [({"grade": 13}, "grade"), ({"shoe_size": 9}, "shoe_size"), ({"name": "A"}, "name")]
)
async def test_a_value_that_the_api_does_not_take_is_422(api: Api, attributes: dict[str, Any], parameter: str) -> None:
    before = await first(api, PEOPLE)
    answer = await api.send("PATCH", before["links"]["self"], json=payload(**attributes))
    assert (answer.status_code, problem(answer)["source"]) == (422, {"parameter": parameter})
    assert await first(api, PEOPLE) == before


async def test_a_target_that_is_not_there_is_422(api: Api) -> None:
    own = (await first(api, PEOPLE))["links"]["self"]
    answer = await api.send("PATCH", own, json=payload({"primary_campus": {"type": "Campus", "id": "1"}}))
    assert (answer.status_code, problem(answer)["code"]) == (422, "attribute_resource_not_found")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/people/v2/person_mergers", 403),
        ("POST", "/people/v2/shoes", 404),
        ("DELETE", PEOPLE, 404),
        ("PATCH", f"{PEOPLE}/1", 404),
    ],
)
async def test_what_cannot_be_written_is_refused(api: Api, method: str, path: str, status: int) -> None:
    assert (await api.send(method, path, json=payload())).status_code == status


async def test_writes_are_limited_and_seen_by_the_next_page() -> None:
    api = Api(rate_limit=True, rate_requests=2)
    before = (await api.document(EMAILS))["meta"]["total_count"]
    email = payload({"person": person((await first(api, PEOPLE))["id"])}, address="a@example.org", location="Home")
    assert (await api.send("POST", EMAILS, json=email)).status_code == 429
    api.clock.advance(20)
    assert (await api.send("POST", EMAILS, json=email)).headers["x-pco-api-request-rate-count"] == "1"
    assert (await api.document(EMAILS))["meta"]["total_count"] == before + 1
