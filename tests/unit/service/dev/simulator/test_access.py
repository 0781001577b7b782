"""Credentials, tokens and limits of the simulated API."""

from typing import Any

import httpx
import pytest

from tests.unit.service.dev.simulator.client import PEOPLE, Api

NOT_AUTHENTICATED = "This request could not be authenticated. Error Code Hint: ({})"
CLIENT = {"client_id": "simulator-app", "client_secret": "secret-simulator-app"}


@pytest.fixture
def api() -> Api:
    return Api()


async def token(api: Api, **parameters: str) -> httpx.Response:
    return await api.send("POST", "/oauth/token", data=CLIENT | parameters, auth=None)


async def refresh(api: Api, refresh_token: str, **more: str) -> tuple[int, Any]:
    answer = await token(api, grant_type="refresh_token", refresh_token=refresh_token, **more)
    return answer.status_code, answer.json()


async def denied(api: Api, bearer: dict[str, str], path: str = PEOPLE) -> Any:
    answer = await api.get(path, auth=None, headers=bearer)
    assert answer.status_code == 401
    (problem,) = answer.json()["errors"]
    return problem


async def test_credentials_decide_the_organisation(api: Api) -> None:
    ours = await api.document(PEOPLE)
    theirs = (await api.get(PEOPLE, auth=("beta", "secret-beta"))).json()
    assert ours["meta"]["parent"] != theirs["meta"]["parent"]
    assert ours["data"] != theirs["data"]


@pytest.mark.parametrize("auth", [None, ("acme", "wrong"), ("nobody", "secret-nobody")])
async def test_a_wrong_token_is_answered_in_html(api: Api, auth: tuple[str, str] | None) -> None:
    answer = await api.get(PEOPLE, auth=auth)
    assert (answer.status_code, answer.text) == (401, "HTTP Basic: Access denied.\n")
    assert answer.headers["www-authenticate"].startswith("Basic")


async def test_an_access_token_works_until_it_expires(api: Api) -> None:
    tokens = (await token(api, grant_type="authorization_code", code="code-beta")).json()
    bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
    assert (await api.get(PEOPLE, auth=None, headers=bearer)).status_code == 200
    api.clock.advance(tokens["expires_in"])
    assert (await denied(api, bearer))["detail"] == NOT_AUTHENTICATED.format("BABOON")


async def test_a_token_that_nobody_has_is_answered_in_the_apis_words(api: Api) -> None:
    error = {"code": "unauthorized", "title": "Unauthorized", "status": "401"}
    problem = await denied(api, {"Authorization": "Bearer nobody's"})
    assert problem == error | {"detail": NOT_AUTHENTICATED.format("CAPUCHIN")}


async def test_a_token_is_for_the_products_of_its_scope() -> None:
    api = Api(scopes=("people",))
    tokens = (await token(api, grant_type="authorization_code", code="code-acme")).json()
    assert tokens["scope"] == "people"
    bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
    assert (await api.get(PEOPLE, auth=None, headers=bearer)).status_code == 200
    problem = await denied(api, bearer, "/check-ins/v2/events")
    assert problem["code"] == "bad_scope"
    assert problem["detail"] == "The API credentials do not have access to the application check ins"
    assert (await api.get("/check-ins/v2/events")).status_code == 200


async def test_refused_requests_have_rate_headers_and_count(api: Api) -> None:
    answers = [await api.get(PEOPLE, auth=("acme", "wrong")) for _ in range(2)]
    assert [answer.headers["x-pco-api-request-rate-count"] for answer in answers] == ["1", "2"]


async def test_a_request_without_a_user_agent_does_not_get_through(api: Api) -> None:
    answer = await api.get(PEOPLE, headers={"User-Agent": ""})
    assert (answer.status_code, answer.headers["content-type"]) == (403, "text/html; charset=utf-8")
    assert "x-pco-api-request-rate-count" not in answer.headers


async def test_a_refresh_token_works_once_and_outlives_a_restart(api: Api) -> None:
    _, first = await refresh(api, "refresh-acme")
    restarted = Api()
    assert (await refresh(restarted, first["refresh_token"]))[0] == 200
    status, problem = await refresh(restarted, first["refresh_token"])
    assert (status, problem["error"]) == (400, "invalid_grant")


async def test_an_unknown_client_gets_no_token(api: Api) -> None:
    status, problem = await refresh(api, "refresh-acme", client_secret="wrong")
    assert (status, problem["error"]) == (401, "invalid_client")


async def test_requests_over_the_limit_are_rejected_and_counted_for_each_organisation() -> None:
    api = Api(rate_limit=True, rate_requests=2)
    counts = [(await api.get(PEOPLE)).headers["x-pco-api-request-rate-count"] for _ in range(3)]
    refused = await api.get(PEOPLE)
    assert counts == ["1", "2", "3"]
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "20")
    assert "4 of 2 requests per 20 seconds" in refused.text
    assert (await api.get(PEOPLE, auth=("beta", "secret-beta"))).status_code == 200


async def test_the_window_begins_with_its_first_request_and_ends_as_a_whole() -> None:
    api = Api(rate_limit=True, rate_requests=1)
    await api.get(PEOPLE)
    api.clock.advance(19.5)
    assert (await api.get(PEOPLE)).headers["retry-after"] == "1"
    api.clock.advance(0.5)
    assert (await api.get(PEOPLE)).headers["x-pco-api-request-rate-count"] == "1"


async def test_deep_offsets_have_a_lower_limit_and_the_period_may_be_in_words() -> None:
    answer = await Api(rate_limit=True).get(f"{PEOPLE}?offset=30001")
    assert answer.headers["x-pco-api-request-rate-limit"] == "75"
    answer = await Api(rate_period="words").get(PEOPLE)
    assert answer.headers["x-pco-api-request-rate-period"] == "20 seconds"
