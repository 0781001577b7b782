"""Addresses of pages: by offset, by link, under a parent."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyreqwest.http import Url

from agents.ports import Parent
from agents.records.document import LINK_CHARS_MAX
from manifests.entity import Entity
from service.api.requests import page_request
from tests.support.adapters import adapter
from topics.errors import Rejected

ADAPTER = adapter().file
BASE = "https://api.example.org"
ORDER = {"by": [{"type": "integer", "from": "id"}], "parameter": "created_at", "evidence": "documented"}
PLAN_PEOPLE = "/services/{type_id}/plans/{id}/team_members"


def entity(path: str = "/people/v2/emails", **more: Any) -> Entity:
    return Entity.model_validate({"name": "people.email", "path": path, **more})


def by_link(link: str) -> str:
    of = entity(paging={"style": "link"})
    return page_request(ADAPTER, of, "acme", BASE, link=link).url


@pytest.mark.parametrize(
    ("shape", "start", "query"),
    [
        ({}, 0, "per_page=100&offset=0"),
        ({"paging": {"style": "offset", "size": 25}}, 150, "per_page=25&offset=150"),
        ({"paging": {"style": "link", "size": 50}}, None, "per_page=50"),
        ({"paging": {"style": "link", "size": 50}}, 99, "per_page=50&offset=99"),
        (
            {"reads": {"full": {"order": ORDER, "query": {"where[a]": "x y&z", "include": "a,b"}}}},
            0,
            "where%5Ba%5D=x%20y%26z&include=a%2Cb&order=created_at&per_page=100&offset=0",
        ),
    ],
)
def test_a_page_has_the_query_of_its_paging_and_of_a_full_read(
    shape: dict[str, Any], start: int | None, query: str
) -> None:
    assert page_request(ADAPTER, entity(**shape), "acme", BASE, start).url == f"{BASE}/people/v2/emails?{query}"


def test_a_single_record_has_no_pages() -> None:
    under = {"entity": "x.donation", "column": "donation_id", "one": True}
    of = entity("/donations/{id}/refund", under=under)
    assert page_request(ADAPTER, of, "acme", BASE, parent=Parent("7", {})).url == f"{BASE}/donations/7/refund"
    of = entity("/donations/{id}/refund", under=under, reads={"full": {"query": {"include": "a"}}})
    assert page_request(ADAPTER, of, "acme", BASE, parent=Parent("7", {})).target == "/donations/7/refund?include=a"


def test_the_adapter_names_the_parameters() -> None:
    names = ADAPTER.parameters.model_copy(update={"offset": "skip", "size": "take"})
    renamed = ADAPTER.model_copy(update={"parameters": names})
    assert page_request(renamed, entity(), "acme", BASE, 100).target == "/people/v2/emails?take=100&skip=100"


def test_a_base_url_may_have_a_path() -> None:
    request = page_request(ADAPTER, entity(), "acme", "https://gateway.example.org/pco/")
    assert request.url == "https://gateway.example.org/pco/people/v2/emails?per_page=100&offset=0"


@pytest.mark.parametrize(
    ("path", "parent", "filled"),
    [
        ("/{org}/contacts", None, "/acme/contacts"),
        (PLAN_PEOPLE, Parent("12", {"type_id": "a/b ?"}), "/services/a%2Fb%20%3F/plans/12/team_members"),
    ],
)
def test_a_path_is_filled_with_the_organisation_and_with_a_parents_key_and_columns(
    path: str, parent: Parent | None, filled: str
) -> None:
    request = page_request(ADAPTER, entity(path), "acme", BASE, parent=parent)
    assert (request.path, request.is_under_parent) == (filled, parent is not None)


@pytest.mark.parametrize(
    ("parent", "why"),
    [
        *((Parent("12", {"type_id": value}), "for which the parent '12' has") for value in ("", ".", "..")),
        (Parent("12", {}), "for which the parent '12' has"),
        (None, "but the page is not read under a parent"),
    ],
)
def test_a_path_that_cannot_be_filled_or_would_be_another_is_rejected(parent: Parent | None, why: str) -> None:
    with pytest.raises(Rejected, match=rf"the path names \{{type_id\}}, {why}"):
        page_request(ADAPTER, entity(PLAN_PEOPLE), "acme", BASE, parent=parent)


@pytest.mark.parametrize(
    ("link", "target"),
    [
        (f"{BASE}/people/v2/emails?offset=100&per_page=100", "/people/v2/emails?offset=100&per_page=100"),
        ("/people/v2/emails?cursor=a", "/people/v2/emails?cursor=a"),
        ("?cursor=a", "/people/v2/emails?cursor=a"),
        (
            f"{BASE}/a%2Fb?where[updated_at][gte]=2026%3A01&x=%252C+y",
            "/a%2Fb?where[updated_at][gte]=2026%3A01&x=%252C+y",
        ),
        ("http://api.example.org:80/x?a=1", "/x?a=1"),
        (f"{BASE}/x?a=1\r\nX: y", "/x?a=1X:%20y"),
    ],
    ids=["absolute", "path", "query", "escapes", "from behind a proxy that ends TLS", "smuggles no header"],
)
def test_of_a_link_path_and_query_are_used_as_they_are(link: str, target: str) -> None:
    assert by_link(link) == BASE + target


@pytest.mark.parametrize(
    "link",
    [
        "https://evil.example.org/x",
        "//evil.example.org/x",
        "https://api.example.org:8443/x",
        "https://api.example.org@evil.example.org/x",
        r"https://api.example.org\@evil.example.org/x",
        r"https://api.example.org\.evil.example.org/x",
        "https://api.example.org%2eevil.example.org/x",
        "ht\ntps://evil.example.org/x",
        "ftp://api.example.org/x",
        "javascript:alert(1)",
        "file:///etc/passwd",
        "https://[::1/x",
        "https://api.example.org:port/x",
    ],
)
def test_a_link_to_another_host_is_not_followed(link: str) -> None:
    with pytest.raises(Rejected, match="the link to the next page"):
        by_link(link)


LINK_PARTS = (
    "https:",
    "http:",
    "ftp:",
    "//",
    "/",
    "\\",
    "@",
    ":",
    "?",
    "#",
    ".",
    "..",
    "%2f",
    "%5c",
    "\t",
    "\n",
    " ",
    "é",
)
HOSTS = ("api.example.org", "evil.example.org", "u:p", "443", "80", "8443", "x")


@given(st.lists(st.sampled_from((*LINK_PARTS, *HOSTS)), max_size=9).map("".join))
def test_whatever_a_link_looks_like_nothing_is_sent_but_to_the_connections_own_host(link: str) -> None:
    with suppress(Rejected):
        address = Url(by_link(link))  # as the HTTP client understands it
        assert (address.scheme, address.host_str, address.port, address.username) == (
            "https",
            "api.example.org",
            None,
            "",
        )


def test_a_link_over_the_maximum_is_rejected() -> None:
    with pytest.raises(Rejected, match="at most 8000"):
        by_link(f"{BASE}/x?a=" + "x" * LINK_CHARS_MAX)
