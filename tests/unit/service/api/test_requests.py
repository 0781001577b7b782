from typing import Any

import pytest

from agents.ports import Parent
from manifests.entity import AdapterFile, Entity
from service.api.requests import LINK_CHARS_MAX, page_request
from topics.errors import Rejected

ADAPTER = AdapterFile.model_validate(
    {
        "name": "pco",
        "title": "An API",
        "base_url": "https://api.example.org",
        "body": {"records": "data"},
        "limit": {"requests": 100, "seconds": 20},
    }
)
BASE = "https://api.example.org"
PLAN_PEOPLE = "/services/v2/service_types/{service_type_id}/plans/{id}/team_members"


def entity(path: str = "/people/v2/emails", **more: Any) -> Entity:
    return Entity.model_validate({"name": "people.email", "path": path, **more})


def by_link(link: str, base_url: str = BASE) -> str:
    of = entity(paging={"style": "link"})
    return page_request(ADAPTER, of, "acme", base_url, page=2, link=link).url


def under(parent: Parent, path: str = PLAN_PEOPLE) -> str:
    return page_request(ADAPTER, entity(path), "acme", BASE, parent=parent).path


def test_the_first_page_starts_at_offset_0() -> None:
    assert page_request(ADAPTER, entity(), "acme", BASE).url == f"{BASE}/people/v2/emails?per_page=100&offset=0"


def test_page_7_starts_behind_six_pages() -> None:
    of = entity(paging={"style": "offset", "size": 25})
    assert page_request(ADAPTER, of, "acme", BASE, page=7).target == "/people/v2/emails?per_page=25&offset=150"


def test_order_and_query_of_a_full_read_are_sent() -> None:
    of = entity(reads={"full": {"order": "-id", "query": {"where[a]": "x y&z", "include": "a,b"}}})
    assert (
        page_request(ADAPTER, of, "acme", BASE).target
        == "/people/v2/emails?where%5Ba%5D=x%20y%26z&include=a%2Cb&order=-id&per_page=100&offset=0"
    )


def test_the_adapter_names_the_parameters() -> None:
    adapter = ADAPTER.model_copy(
        update={"parameters": ADAPTER.parameters.model_copy(update={"offset": "skip", "size": "take"})}
    )
    assert page_request(adapter, entity(), "acme", BASE, page=2).target == "/people/v2/emails?take=100&skip=100"


def test_link_paging_starts_without_an_offset() -> None:
    of = entity(paging={"style": "link", "size": 50})
    assert page_request(ADAPTER, of, "acme", BASE).target == "/people/v2/emails?per_page=50"


def test_the_organisation_is_filled_in() -> None:
    assert page_request(ADAPTER, entity("/{org}/contacts"), "acme", BASE).path == "/acme/contacts"


def test_a_base_url_may_have_a_path() -> None:
    request = page_request(ADAPTER, entity(), "acme", "https://gateway.example.org/pco/")
    assert request.url == "https://gateway.example.org/pco/people/v2/emails?per_page=100&offset=0"


def test_a_childs_path_is_filled_with_its_parents_columns() -> None:
    assert (
        under(Parent("12", {"service_type_id": "a/b ?"}))
        == "/services/v2/service_types/a%2Fb%20%3F/plans/12/team_members"
    )


def test_a_page_under_a_parent_says_so() -> None:
    parent = Parent("12", {})
    assert page_request(ADAPTER, entity("/x/{id}/y"), "acme", BASE, parent=parent).is_under_parent
    assert not page_request(ADAPTER, entity(), "acme", BASE).is_under_parent


@pytest.mark.parametrize("value", ["", ".", ".."])
def test_a_value_that_would_change_the_path_is_rejected(value: str) -> None:
    with pytest.raises(Rejected, match=r"\{service_type_id\}, for which the parent '12' has"):
        under(Parent("12", {"service_type_id": value}))


def test_a_parent_without_the_column_is_rejected() -> None:
    with pytest.raises(Rejected, match="service_type_id"):
        under(Parent("12", {}))


def test_a_childs_path_without_a_parent_is_rejected() -> None:
    with pytest.raises(Rejected, match="not read under a parent"):
        page_request(ADAPTER, entity("/x/{id}/y"), "acme", BASE)


def test_of_a_link_path_and_query_are_used() -> None:
    assert (
        by_link(f"{BASE}/people/v2/emails?offset=100&per_page=100")
        == f"{BASE}/people/v2/emails?offset=100&per_page=100"
    )


def test_a_links_escapes_stay_as_they_are() -> None:
    link = f"{BASE}/a%2Fb?where[updated_at][gte]=2026%3A01&x=%252C+y"
    assert by_link(link) == link


def test_a_link_from_behind_a_proxy_goes_to_our_own_origin() -> None:
    assert by_link("http://api.example.org:80/x?a=1") == f"{BASE}/x?a=1"


@pytest.mark.parametrize(
    ("link", "url"),
    [
        ("/people/v2/emails?cursor=a", f"{BASE}/people/v2/emails?cursor=a"),
        ("?cursor=a", f"{BASE}/people/v2/emails?cursor=a"),
    ],
)
def test_a_relative_link_is_followed_from_the_page(link: str, url: str) -> None:
    assert by_link(link) == url


@pytest.mark.parametrize(
    "link",
    [
        "https://evil.example.org/x",
        "//evil.example.org/x",
        "https://api.example.org:8443/x",
        "https://api.example.org@evil.example.org/x",
        "ftp://api.example.net/x",
        "https://[::1/x",
        "https://api.example.org:port/x",
    ],
)
def test_a_link_to_another_host_is_not_followed(link: str) -> None:
    with pytest.raises(Rejected, match="the link to the next page"):
        by_link(link)


def test_a_link_over_the_maximum_is_rejected() -> None:
    with pytest.raises(Rejected, match="at most 8000"):
        by_link(f"{BASE}/x?a=" + "x" * LINK_CHARS_MAX)


def test_a_link_cannot_smuggle_a_header() -> None:
    assert "\n" not in by_link(f"{BASE}/x?a=1\r\nX: y")
