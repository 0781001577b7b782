"""The simulated API as its clients see it: documents, paging, queries."""

from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest

from service.dev.simulator.folding import fold
from tests.unit.service.dev.simulator.client import EMAILS, PEOPLE, Api


@pytest.fixture
def api() -> Api:
    return Api()


async def values_of(api: Api, url: str, attribute: str) -> list[Any]:
    return [row["attributes"][attribute] for row in (await api.document(url))["data"]]


async def test_documents_have_the_keys_of_the_real_ones_in_their_order(api: Api) -> None:
    document = await api.document(f"{EMAILS}?offset=2&per_page=2")
    assert list(document) == ["links", "data", "included", "meta"]
    assert list(document["links"]) == ["self", "next", "prev"]
    assert list(document["meta"]) == [
        "total_count", "count", "next", "prev", "can_order_by", "can_query_by", "can_include", "parent",
    ]  # fmt: skip
    assert document["meta"]["parent"]["type"] == "Organization"
    record = document["data"][0]
    assert list(record) == ["type", "id", "attributes", "relationships", "links"]
    assert list(record["attributes"]) == ["address", "blocked", "created_at", "location", "primary", "updated_at"]
    assert record["relationships"]["person"]["data"]["type"] == "Person"
    assert record["links"] == {"self": f"http://simulator{EMAILS}/{record['id']}"}
    assert "relationships" not in (await api.document("/people/v2/marital_statuses"))["data"][0]


async def test_links_repeat_the_request_sorted_and_add_no_defaults(api: Api) -> None:
    links = (await api.document(f"{PEOPLE}?where[status]=active&order=last_name,first_name"))["links"]
    query = "order=last_name%2Cfirst_name&where[status]=active"
    assert links["self"] == f"http://simulator{PEOPLE}?{query}"
    assert links["next"] == f"http://simulator{PEOPLE}?offset=25&{query}"


async def test_pages_that_are_too_large_beyond_the_end_or_empty_are_those_of_the_real_api(api: Api) -> None:
    large = await api.document(f"{PEOPLE}?per_page=500")
    assert (large["meta"]["count"], large["meta"]["next"]) == (100, {"offset": 100})
    assert "per_page=500" in large["links"]["next"]
    beyond = await api.document(f"{PEOPLE}?offset=1000&per_page=10")
    assert (beyond["data"], beyond["meta"]["total_count"], beyond["meta"]["prev"]) == ([], 260, {"offset": 990})
    assert "next" not in beyond["meta"]
    assert "next" not in (await api.document(f"{PEOPLE}?offset=160&per_page=100"))["links"]
    nothing = (await api.document(f"{PEOPLE}?per_page=0"))["meta"]
    assert (nothing["count"], nothing["total_count"], nothing["next"]) == (0, 260, {"offset": 0})


@pytest.mark.parametrize("order", ["updated_at", "-updated_at"])
async def test_ties_stand_by_id_ascending_in_either_direction(api: Api, order: str) -> None:
    rows = await api.everything(f"{PEOPLE}?per_page=100&order={order}")
    pairs = [(row["attributes"]["updated_at"], int(row["id"])) for row in rows]
    assert len({at for at, _ in pairs}) < len(pairs)
    assert pairs == sorted(sorted(pairs, key=lambda pair: pair[1]), key=lambda pair: pair[0], reverse=order[0] == "-")


async def test_records_are_ordered_by_numbers_by_text_without_accents_and_with_nothing_first(api: Api) -> None:
    ids = [int(row["id"]) for row in (await api.document(f"{PEOPLE}?per_page=100"))["data"]]
    assert ids == sorted(ids)
    assert (await values_of(api, f"{PEOPLE}?order=grade&per_page=100", "grade"))[0] is None
    names = await values_of(api, f"{PEOPLE}?order=last_name&per_page=100", "last_name")
    assert names.index("Bélanger") < names.index("Brooks")


@pytest.mark.parametrize(
    "query", ["where[shoe_size]=9", "where[emails][address]=x", "order=shoe_size", "include=shoes"]
)
async def test_what_is_unknown_is_silently_ignored(api: Api, query: str) -> None:
    document = await api.document(f"{PEOPLE}?{query}")
    assert document["meta"]["total_count"] == 260
    assert document["data"] == (await api.document(PEOPLE))["data"]


async def test_filters_of_text_and_flags_ignore_case_and_one_that_is_no_number_finds_nothing(api: Api) -> None:
    assert set(await values_of(api, f"{PEOPLE}?where[status]=ACTIVE", "status")) == {"active"}
    names = await values_of(api, f"{PEOPLE}?where[last_name]=S%25&per_page=100", "last_name")
    assert names
    assert all(name.startswith("S") for name in names)
    assert set(await values_of(api, f"{EMAILS}?where[primary]=FALSE&per_page=100", "primary")) == {False}
    assert (await api.document(f"{PEOPLE}?where[grade]=abc"))["meta"]["total_count"] == 0


async def test_time_filters_take_bounds_together(api: Api) -> None:
    every = await values_of(api, f"{PEOPLE}?per_page=100&order=updated_at", "updated_at")
    low, high = every[20], every[50]
    between = f"where[updated_at][gt]={low}&where[updated_at][lte]={high}"
    found = await values_of(api, f"{PEOPLE}?per_page=100&order=updated_at&{between}", "updated_at")
    assert found == [at for at in every if low < at <= high]


async def test_a_bare_date_is_the_whole_day_in_the_organisations_zone(api: Api) -> None:
    at = datetime.fromisoformat((await values_of(api, f"{EMAILS}?per_page=1", "updated_at"))[0])
    day = (at - timedelta(hours=6)).date()
    found = await values_of(api, f"{EMAILS}?where[updated_at]={day}", "updated_at")
    assert at in [datetime.fromisoformat(other) for other in found]
    assert (await api.document(f"{EMAILS}?where[updated_at]={day - timedelta(days=9_000)}"))["data"] == []


async def test_included_records_stand_once_beside_the_page(api: Api) -> None:
    document = await api.document(f"{PEOPLE}?include=emails,primary_campus&per_page=50")
    included = [(row["type"], row["id"]) for row in document["included"]]
    assert len(included) == len(set(included))
    for person in document["data"]:
        for email in person["relationships"]["emails"]["data"]:
            assert ("Email", email["id"]) in included
    assert document["data"][0]["relationships"]["emails"]["links"]["related"].endswith("/emails")


async def test_sparse_fields_drop_attributes_and_relationships(api: Api) -> None:
    person = (await api.document(f"{PEOPLE}?fields[Person]=name&per_page=1"))["data"][0]
    assert list(person["attributes"]) == ["name"]
    assert list(person) == ["type", "id", "attributes", "links"]


async def test_a_record_by_its_id_links_to_its_edges(api: Api) -> None:
    first = (await api.document(PEOPLE))["data"][0]
    document = await api.document(first["links"]["self"])
    assert list(document) == ["data", "included", "meta"]
    assert document["data"]["attributes"] == first["attributes"]
    assert document["data"]["links"]["emails"] == f"{first['links']['self']}/emails"


async def test_a_relationship_is_an_edge_too(api: Api) -> None:
    email = (await api.document(EMAILS))["data"][0]
    owner = (await api.document(f"{email['links']['self']}/person"))["data"]
    assert owner["id"] == email["relationships"]["person"]["data"]["id"]
    household = (await api.document("/people/v2/households"))["data"][0]
    members = (await api.document(f"{household['links']['self']}/people"))["data"]
    assert [row["id"] for row in members] == [row["id"] for row in household["relationships"]["people"]["data"]]


async def test_named_filters_and_references_choose_records(api: Api) -> None:
    assert set(await values_of(api, "/giving/v2/donations?filter=succeeded", "payment_status")) == {"succeeded"}
    campus = (await api.document("/people/v2/campuses"))["data"][0]["id"]
    rows = (await api.document(f"{PEOPLE}?where[primary_campus_id]={campus}"))["data"]
    assert {row["relationships"]["primary_campus"]["data"]["id"] for row in rows} == {campus}


async def test_deleted_definitions_and_archived_groups_are_hidden_until_asked_for() -> None:
    api = Api(people=3_600)

    async def count(url: str) -> int:
        return int((await api.document(url))["meta"]["total_count"])

    definitions, groups = "/people/v2/field_definitions", "/groups/v2/groups"
    assert await count(definitions) < await count(f"{definitions}?filter=include_deleted")
    archived = await count(f"{groups}?where[archive_status]=only")
    assert archived > 0
    assert await count(groups) + archived == await count(f"{groups}?where[archive_status]=include")


@pytest.mark.parametrize(
    "path",
    [
        "people/v2/shoes",
        "people/v2/people/1",
        "people/v2/people/1/emails",
        "people/v2/household_memberships",
        "shoes/v2/a",
    ],
)
async def test_what_is_not_there_is_404(api: Api, path: str) -> None:
    answer = await api.get(f"/{path}")
    assert answer.status_code == 404
    problem = {"status": "404", "title": "Not Found", "detail": "The resource you requested could not be found"}
    assert answer.json() == {"errors": [problem]}


async def test_headers_are_those_of_the_real_api(api: Api) -> None:
    headers = (await api.get(PEOPLE)).headers
    assert headers["content-type"] == "application/vnd.api+json; charset=utf-8"
    assert headers["etag"].startswith('W/"')
    assert headers["x-pco-api-processed-as-version"] == "2025-11-10"
    assert headers["x-request-id"] != (await api.get(PEOPLE)).headers["x-request-id"]


@pytest.mark.parametrize(
    ("asked", "processed_as"),
    [
        ("2018-08-01", "2018-08-01"),
        ("2025-07-10", "2025-07-02"),
        ("2030-01-01", "2025-11-10"),
        ("latest", "2025-11-10"),
    ],
)
async def test_a_version_is_the_newest_that_is_not_newer_than_asked(api: Api, asked: str, processed_as: str) -> None:
    answer = await api.get(PEOPLE, headers={"X-PCO-API-Version": asked})
    assert answer.headers["x-pco-api-processed-as-version"] == processed_as


@pytest.mark.parametrize("asked", ["2018-07-31", "newest", "2025"])
async def test_a_version_that_never_was_is_rejected(api: Api, asked: str) -> None:
    answer = await api.get(PEOPLE, headers={"X-PCO-API-Version": asked})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "unsupported_version_error")


async def test_relationships_of_some_are_shown_only_where_they_are_included(api: Api) -> None:
    assert set((await api.document(PEOPLE))["data"][0]["relationships"]) == {"primary_campus"}
    assert "relationships" not in (await api.document("/people/v2/notes"))["data"][0]
    profiles = "/people/v2/social_profiles"
    assert "relationships" not in (await api.document(profiles))["data"][0]
    document = await api.document(f"{profiles}?include=person&fields[Person]=name")
    person = document["data"][0]["relationships"]["person"]["data"]
    assert [row["attributes"].keys() for row in document["included"] if row["id"] == person["id"]] == [{"name"}]


async def test_attributes_of_some_are_shown_only_to_those_who_name_them(api: Api) -> None:
    assert "mfa_configured" not in (await api.document(PEOPLE))["data"][0]["attributes"]
    person = (await api.document(f"{PEOPLE}?fields[Person]=name,mfa_configured"))["data"][0]
    assert set(person["attributes"]) == {"name", "mfa_configured"}


async def test_a_unique_group_has_no_type_and_a_type_has_groups() -> None:
    api = Api(people=3_600)
    groups = await api.everything("/groups/v2/groups?where[archive_status]=include")
    types = {(group["relationships"]["group_type"]["data"] or {}).get("id") for group in groups}
    assert None in types
    one = next(id for id in types if id)
    assert (await api.document(f"/groups/v2/group_types/{one}/groups"))["meta"]["total_count"] > 0


async def test_an_include_may_lead_one_edge_further(api: Api) -> None:
    person = (await api.document("/people/v2/households"))["data"][0]["relationships"]["people"]["data"][0]["id"]
    document = await api.document(f"{PEOPLE}/{person}?include=households.people")
    household, *others = document["included"]
    members = household["relationships"]["people"]
    assert household["type"] == "Household"
    assert members["links"]["related"].endswith("/people")
    assert [(row["type"], row["id"]) for row in others] == [("Person", each["id"]) for each in members["data"]]
    assert "people" not in (await api.document(f"{PEOPLE}/{person}"))["data"].get("relationships", {})


async def test_persons_are_found_by_beginnings_of_their_names_by_email_and_by_phone(api: Api) -> None:
    async def found(search: str, value: str) -> set[str]:
        rows = await api.everything(f"{PEOPLE}?per_page=100&{urlencode({f'where[{search}]': value})}")
        return {row["id"] for row in rows}

    person = (await api.document(PEOPLE))["data"][7]
    words = [person["attributes"]["last_name"][:3], person["attributes"]["first_name"][:2]]
    assert person["id"] in await found("search_name", " ".join(words).upper())
    assert await found("search_name", "nobody is called so") == set()
    email = (await api.document(EMAILS))["data"][3]
    owner = email["relationships"]["person"]["data"]["id"]
    assert owner in await found("search_name_or_email", email["attributes"]["address"])
    phone = (await api.document("/people/v2/phone_numbers?where[location]=Work"))["data"][0]
    owner = phone["relationships"]["person"]["data"]["id"]
    assert owner in await found("search_phone_number", phone["attributes"]["number"][-9:])
    assert owner in await found("search_phone_number_e164", phone["attributes"]["e164"])
    assert await found("search_phone_number_e164", phone["attributes"]["e164"][1:]) == set()


async def test_members_are_ordered_by_the_names_of_their_persons(api: Api) -> None:
    group = (await api.document("/groups/v2/groups"))["data"][0]["links"]["self"]
    document = await api.document(f"{group}/memberships?order=last_name&include=person&per_page=100")
    names = {row["id"]: row["attributes"]["last_name"] for row in document["included"]}
    ordered = [fold(names[row["relationships"]["person"]["data"]["id"]]) for row in document["data"]]
    assert ordered == sorted(ordered)
    assert len(set(ordered)) > 5
