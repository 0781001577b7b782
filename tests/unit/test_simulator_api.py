"""The simulated API as its clients see it: documents, paging, queries, credentials, limits."""

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from service.dev.simulator.app import build_app
from service.dev.simulator.config import SimulatorConfig

PEOPLE = "/people/v2/people"
EMAILS = "/people/v2/emails"
CLIENT = {"client_id": "simulator-app", "client_secret": "secret-simulator-app"}


class HandClock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.passed = 0.0

    def now(self) -> datetime:
        return datetime(2026, 6, 1, tzinfo=UTC) + timedelta(seconds=self.passed)

    def monotonic(self) -> float:
        return self.passed


class Api:
    """A client of a simulator with the organisations acme and beta, by acme's token unless told otherwise."""

    def __init__(self, **config: Any) -> None:
        self.clock = HandClock()
        settings = {"orgs": ("acme", "beta"), "people": 260, "rate_limit": False} | config
        self._app = build_app(SimulatorConfig(**settings), self.clock)

    async def send(self, method: str, url: str, **request: Any) -> httpx.Response:
        request.setdefault("auth", ("acme", "secret-acme"))
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app=self._app), base_url="http://simulator"
        ) as client:
            return await client.request(method, url, **request)

    async def get(self, url: str, **request: Any) -> httpx.Response:
        return await self.send("GET", url, **request)

    async def document(self, url: str) -> Any:
        answer = await self.get(url)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def values(self, url: str, attribute: str) -> list[Any]:
        return [row["attributes"][attribute] for row in (await self.document(url))["data"]]

    async def token(self, **parameters: str) -> httpx.Response:
        return await self.send("POST", "/oauth/token", data=CLIENT | parameters, auth=None)


@pytest.fixture
def api() -> Api:
    return Api()


async def test_a_list_has_the_keys_of_the_real_one_in_their_order(api: Api) -> None:
    document = await api.document(f"{EMAILS}?offset=2&per_page=2")
    assert list(document) == ["links", "data", "included", "meta"]
    assert list(document["links"]) == ["self", "next", "prev"]
    assert list(document["meta"]) == [
        "total_count", "count", "next", "prev", "can_order_by", "can_query_by", "can_include", "parent",
    ]  # fmt: skip
    assert document["meta"]["parent"]["type"] == "Organization"


async def test_a_record_has_the_keys_of_the_real_one_in_their_order(api: Api) -> None:
    record = (await api.document(f"{EMAILS}?per_page=1"))["data"][0]
    assert list(record) == ["type", "id", "attributes", "relationships", "links"]
    assert list(record["attributes"]) == ["address", "blocked", "created_at", "location", "primary", "updated_at"]
    assert record["relationships"]["person"]["data"]["type"] == "Person"
    assert record["links"] == {"self": f"http://simulator{EMAILS}/{record['id']}"}


async def test_reference_values_have_no_relationships(api: Api) -> None:
    assert "relationships" not in (await api.document("/people/v2/marital_statuses"))["data"][0]


async def test_links_repeat_the_request_sorted_and_add_no_defaults(api: Api) -> None:
    links = (await api.document(f"{PEOPLE}?where[status]=active&order=last_name,first_name"))["links"]
    query = "order=last_name%2Cfirst_name&where[status]=active"
    assert links["self"] == f"http://simulator{PEOPLE}?{query}"
    assert links["next"] == f"http://simulator{PEOPLE}?offset=25&{query}"


async def test_the_next_links_lead_through_every_record_once(api: Api) -> None:
    ids: list[str] = []
    url: str | None = f"{PEOPLE}?per_page=100&order=-updated_at"
    while url:
        document = await api.document(url)
        ids += [row["id"] for row in document["data"]]
        url = document["links"].get("next")
    assert len(ids) == len(set(ids)) == 260


async def test_a_page_is_clamped_to_a_hundred_and_its_link_is_not(api: Api) -> None:
    document = await api.document(f"{PEOPLE}?per_page=500")
    assert document["meta"]["count"] == 100
    assert document["meta"]["next"] == {"offset": 100}
    assert "per_page=500" in document["links"]["next"]


async def test_a_page_over_the_end_has_no_rows(api: Api) -> None:
    document = await api.document(f"{PEOPLE}?offset=1000&per_page=10")
    assert (document["data"], document["meta"]["total_count"]) == ([], 260)
    assert "next" not in document["meta"]
    assert document["meta"]["prev"] == {"offset": 990}


async def test_an_exactly_full_last_page_has_no_next(api: Api) -> None:
    assert "next" not in (await api.document(f"{PEOPLE}?offset=160&per_page=100"))["links"]


async def test_a_page_of_no_rows_points_to_itself(api: Api) -> None:
    meta = (await api.document(f"{PEOPLE}?per_page=0"))["meta"]
    assert (meta["count"], meta["total_count"], meta["next"]) == (0, 260, {"offset": 0})


async def test_records_come_in_the_order_of_their_ids_as_numbers(api: Api) -> None:
    ids = [int(row["id"]) for row in (await api.document(f"{PEOPLE}?per_page=100"))["data"]]
    assert ids == sorted(ids)


@pytest.mark.parametrize("order", ["updated_at", "-updated_at"])
async def test_ties_stand_by_id_ascending_in_either_direction(api: Api, order: str) -> None:
    rows = [row for offset in (0, 100, 200) for row in (
        await api.document(f"{PEOPLE}?per_page=100&order={order}&offset={offset}"))["data"]]  # fmt: skip
    pairs = [(row["attributes"]["updated_at"], int(row["id"])) for row in rows]
    assert len({at for at, _ in pairs}) < len(pairs)
    assert pairs == sorted(sorted(pairs, key=lambda pair: pair[1]), key=lambda pair: pair[0], reverse=order[0] == "-")


async def test_nothing_stands_first(api: Api) -> None:
    grades = await api.values(f"{PEOPLE}?order=grade&per_page=100", "grade")
    assert grades[0] is None


async def test_text_is_ordered_without_accents(api: Api) -> None:
    names = await api.values(f"{PEOPLE}?order=last_name&per_page=100", "last_name")
    assert names.index("Bélanger") < names.index("Brooks")


@pytest.mark.parametrize(
    "query", ["where[shoe_size]=9", "where[emails][address]=x", "order=shoe_size", "include=shoes"]
)
async def test_what_is_unknown_is_silently_ignored(api: Api, query: str) -> None:
    document = await api.document(f"{PEOPLE}?{query}")
    assert document["meta"]["total_count"] == 260
    assert document["data"] == (await api.document(PEOPLE))["data"]


async def test_a_filter_that_is_no_number_finds_nothing(api: Api) -> None:
    assert (await api.document(f"{PEOPLE}?where[grade]=abc"))["meta"]["total_count"] == 0


async def test_text_filters_ignore_case_and_take_a_wildcard_at_an_end(api: Api) -> None:
    assert set(await api.values(f"{PEOPLE}?where[status]=ACTIVE", "status")) == {"active"}
    names = await api.values(f"{PEOPLE}?where[last_name]=S%25&per_page=100", "last_name")
    assert names
    assert all(name.startswith("S") for name in names)


async def test_time_filters_take_bounds_together(api: Api) -> None:
    every = await api.values(f"{PEOPLE}?per_page=100&order=updated_at", "updated_at")
    low, high = every[20], every[50]
    found = await api.values(
        f"{PEOPLE}?per_page=100&order=updated_at&where[updated_at][gt]={low}&where[updated_at][lte]={high}",
        "updated_at",
    )
    assert found == [at for at in every if low < at <= high]


async def test_a_bare_date_is_the_whole_day_in_the_organisations_zone(api: Api) -> None:
    at = datetime.fromisoformat((await api.values(f"{EMAILS}?per_page=1", "updated_at"))[0])
    day = (at - timedelta(hours=6)).date()
    found = await api.values(f"{EMAILS}?where[updated_at]={day}", "updated_at")
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


async def test_an_edge_lists_what_belongs_to_its_record(api: Api) -> None:
    person = (await api.document(PEOPLE))["data"][0]
    document = await api.document(f"{PEOPLE}/{person['id']}/emails")
    assert document["meta"]["parent"] == {"id": person["id"], "type": "Person"}
    owners = {row["relationships"]["person"]["data"]["id"] for row in document["data"]}
    assert owners == {person["id"]}


async def test_a_household_stands_only_in_its_memberships_links(api: Api) -> None:
    household = (await api.document("/people/v2/households"))["data"][0]
    path = f"/people/v2/households/{household['id']}/household_memberships"
    member = (await api.document(path))["data"][0]
    assert list(member["relationships"]) == ["person"]
    assert member["links"]["self"] == f"http://simulator{path}/{member['id']}"


async def test_team_members_stand_two_parents_deep(api: Api) -> None:
    types = await api.document("/services/v2/service_types")
    plans = await api.document(f"/services/v2/service_types/{types['data'][0]['id']}/plans")
    members = await api.document(plans["data"][0]["links"]["self"] + "/team_members")
    assert {row["type"] for row in members["data"]} == {"PlanPerson"}


async def test_a_relationship_is_an_edge_too(api: Api) -> None:
    email = (await api.document(EMAILS))["data"][0]
    owner = (await api.document(f"{email['links']['self']}/person"))["data"]
    assert owner["id"] == email["relationships"]["person"]["data"]["id"]
    household = (await api.document("/people/v2/households"))["data"][0]
    members = (await api.document(f"{household['links']['self']}/people"))["data"]
    assert [row["id"] for row in members] == [row["id"] for row in household["relationships"]["people"]["data"]]


async def test_an_unset_relationship_is_404(api: Api) -> None:
    first = (await api.document(PEOPLE))["data"][0]
    assert first["relationships"]["created_by"]["data"] is None
    assert (await api.get(f"{first['links']['self']}/created_by")).status_code == 404


async def test_a_products_root_is_the_organisation(api: Api) -> None:
    data = (await api.document("/giving/v2"))["data"]
    assert (data["type"], data["links"]["funds"]) == ("Organization", "http://simulator/giving/v2/funds")


async def test_me_is_a_person(api: Api) -> None:
    assert (await api.document("/people/v2/me"))["data"]["type"] == "Person"


async def test_named_filters_and_references_choose_records(api: Api) -> None:
    assert set(await api.values("/giving/v2/donations?filter=succeeded", "payment_status")) == {"succeeded"}
    campus = (await api.document("/people/v2/campuses"))["data"][0]["id"]
    rows = (await api.document(f"{PEOPLE}?where[primary_campus_id]={campus}"))["data"]
    assert {row["relationships"]["primary_campus"]["data"]["id"] for row in rows} == {campus}


async def test_flags_are_filtered_by_their_words(api: Api) -> None:
    assert set(await api.values(f"{EMAILS}?where[primary]=FALSE&per_page=100", "primary")) == {False}


async def test_deleted_definitions_and_archived_groups_are_hidden_until_asked_for() -> None:
    api = Api(people=3_600)

    async def count(url: str) -> int:
        return int((await api.document(url))["meta"]["total_count"])

    definitions, groups = "/people/v2/field_definitions", "/groups/v2/groups"
    assert await count(definitions) < await count(f"{definitions}?filter=include_deleted")
    archived = await count(f"{groups}?where[archive_status]=only")
    assert archived > 0
    assert await count(groups) + archived == await count(f"{groups}?where[archive_status]=include")


async def test_check_ins_answers_under_both_of_its_names(api: Api) -> None:
    assert (await api.document("/check-ins/v2/events"))["data"] == (await api.document("/check_ins/v2/events"))["data"]


@pytest.mark.parametrize(
    "path",
    [
        "/people/v2/shoes",
        "/people/v2/people/1",
        "/people/v2/people/1/emails",
        "/people/v2/household_memberships",
        "/shoes/v2/people",
    ],
)
async def test_what_is_not_there_is_404(api: Api, path: str) -> None:
    answer = await api.get(path)
    assert answer.status_code == 404
    problem = {"status": "404", "title": "Not Found", "detail": "The resource you requested could not be found"}
    assert answer.json() == {"errors": [problem]}


async def test_an_attendance_cannot_be_had_by_its_id(api: Api) -> None:
    event = (await api.document("/groups/v2/events"))["data"][0]
    listed = (await api.document(f"{event['links']['self']}/attendances"))["data"]
    assert (await api.get(listed[0]["links"]["self"])).status_code == 404


async def test_headers_are_those_of_the_real_api(api: Api) -> None:
    headers = (await api.get(PEOPLE)).headers
    assert headers["content-type"] == "application/vnd.api+json; charset=utf-8"
    assert headers["etag"].startswith('W/"')
    assert headers["x-pco-api-processed-as-version"] == "2025-11-10"
    assert headers["x-request-id"] != (await api.get(PEOPLE)).headers["x-request-id"]


async def test_a_version_from_before_the_first_is_refused(api: Api) -> None:
    answer = await api.get(PEOPLE, headers={"X-PCO-API-Version": "2018-07-31"})
    assert answer.json()["errors"][0]["code"] == "unsupported_version_error"


async def test_credentials_decide_the_organisation(api: Api) -> None:
    ours = await api.document(PEOPLE)
    theirs = (await api.get(PEOPLE, auth=("beta", "secret-beta"))).json()
    assert ours["meta"]["parent"] != theirs["meta"]["parent"]
    assert ours["data"] != theirs["data"]


@pytest.mark.parametrize("auth", [None, ("acme", "wrong"), ("nobody", "secret-nobody")])
async def test_a_wrong_token_is_told_so_in_html(api: Api, auth: tuple[str, str] | None) -> None:
    answer = await api.get(PEOPLE, auth=auth)
    assert (answer.status_code, answer.text) == (401, "HTTP Basic: Access denied.\n")
    assert answer.headers["www-authenticate"].startswith("Basic")


async def test_a_basic_scheme_may_be_written_in_any_case(api: Api) -> None:
    encoded = base64.b64encode(b"acme:secret-acme").decode()
    answer = await api.get(PEOPLE, auth=None, headers={"Authorization": f"basic {encoded}"})
    assert answer.status_code == 200


async def test_an_access_token_works_until_it_expires(api: Api) -> None:
    tokens = (await api.token(grant_type="authorization_code", code="code-beta")).json()
    bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
    assert (await api.get(PEOPLE, auth=None, headers=bearer)).status_code == 200
    api.clock.passed += tokens["expires_in"]
    assert "(BABOON)" in (await api.get(PEOPLE, auth=None, headers=bearer)).json()["errors"][0]["detail"]


async def test_a_forged_access_token_is_no_token(api: Api) -> None:
    forged = {"Authorization": "Bearer access.acme.9999999999.00000000000000000000000000000000"}
    answer = await api.get(PEOPLE, auth=None, headers=forged)
    assert answer.status_code == 401
    assert "(CAPUCHIN)" in answer.text


async def test_a_refresh_token_works_once(api: Api) -> None:
    first = (await api.token(grant_type="refresh_token", refresh_token="refresh-acme")).json()
    second = await api.token(grant_type="refresh_token", refresh_token=first["refresh_token"])
    assert second.status_code == 200
    reused = await api.token(grant_type="refresh_token", refresh_token=first["refresh_token"])
    assert (reused.status_code, reused.json()["error"]) == (400, "invalid_grant")


async def test_tokens_may_be_asked_for_in_json(api: Api) -> None:
    ask = CLIENT | {"grant_type": "authorization_code", "code": "code-acme"}
    assert (await api.send("POST", "/oauth/token", json=ask, auth=None)).json()["token_type"] == "bearer"
    torn = await api.send("POST", "/oauth/token", content=b"{", headers={"content-type": "application/json"})
    assert torn.json()["error"] == "invalid_request"


async def test_a_refresh_token_outlives_a_restart(api: Api) -> None:
    issued = (await api.token(grant_type="refresh_token", refresh_token="refresh-acme")).json()
    answer = await Api().token(grant_type="refresh_token", refresh_token=issued["refresh_token"])
    assert answer.status_code == 200


async def test_an_unknown_client_gets_no_token(api: Api) -> None:
    answer = await api.token(grant_type="refresh_token", refresh_token="refresh-acme", client_secret="wrong")
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


async def test_requests_over_the_limit_are_refused_and_counted() -> None:
    api = Api(rate_limit=True, rate_requests=2)
    counts = [(await api.get(PEOPLE)).headers["x-pco-api-request-rate-count"] for _ in range(3)]
    refused = await api.get(PEOPLE)
    assert counts == ["1", "2", "3"]
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "20")
    assert "4 of 2 requests per 20 seconds" in refused.text


async def test_the_window_begins_with_its_first_request_and_ends_as_a_whole() -> None:
    api = Api(rate_limit=True, rate_requests=1)
    await api.get(PEOPLE)
    api.clock.passed = 19.5
    assert (await api.get(PEOPLE)).headers["retry-after"] == "1"
    api.clock.passed = 20.0
    assert (await api.get(PEOPLE)).headers["x-pco-api-request-rate-count"] == "1"


async def test_organisations_do_not_share_a_limit() -> None:
    api = Api(rate_limit=True, rate_requests=1)
    await api.get(PEOPLE)
    assert (await api.get(PEOPLE, auth=("beta", "secret-beta"))).status_code == 200


async def test_deep_offsets_have_a_lower_limit() -> None:
    answer = await Api(rate_limit=True).get(f"{PEOPLE}?offset=30001")
    assert answer.headers["x-pco-api-request-rate-limit"] == "75"


async def test_the_period_may_be_said_in_words() -> None:
    answer = await Api(rate_period="words").get(PEOPLE)
    assert answer.headers["x-pco-api-request-rate-period"] == "20 seconds"


async def test_writes_of_the_api_itself_are_refused(api: Api) -> None:
    assert (await api.send("POST", PEOPLE, json={})).status_code == 405
