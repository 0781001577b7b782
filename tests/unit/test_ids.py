import pytest
from hypothesis import given
from hypothesis import strategies as st

from topics.errors import Rejected
from topics.ids import NAME_PATTERN, connection_key, derive_id, entity_key, parse_key, partition_key, run_id, sync_key

NAMES = st.from_regex(NAME_PATTERN.removesuffix("$"), fullmatch=True)


@given(st.lists(st.text(), max_size=4), st.lists(st.text(), max_size=4))
def test_ids_are_equal_only_if_all_that_they_name_is(one: list[str], two: list[str]) -> None:
    assert (derive_id(*one) == derive_id(*two)) == (one == two)


def test_an_id_is_the_same_for_ever() -> None:
    assert derive_id("start-sync", "main-sync:acme:pco:full", "r1") == "699e116c53ad34358918c06bc83a37d6"


@given(NAMES, NAMES, NAMES, NAMES)
def test_a_key_is_taken_apart_into_what_it_was_made_of(org: str, adapter: str, entity: str, type_: str) -> None:
    assert parse_key(sync_key(org, adapter, type_)) == ("main-sync", org, adapter, "", type_)
    assert parse_key(entity_key(org, adapter, entity, type_)) == ("entity-sync", org, adapter, entity, type_)


@pytest.mark.parametrize(
    "key",
    [
        "",
        "main-sync",
        "main-sync:acme:pco",
        "main-sync:acme:pco:full:more",
        "entity-sync:acme:pco:full",
        "entity-sync:acme:pco:people.person:full\n",
        "other-sync:acme:pco:full",
        "main-sync:-acme:pco:full",
        "main-sync:a b:pco:full",
        f"main-sync:{'x' * 65}:pco:full",
    ],
)
def test_what_is_no_key_is_refused(key: str) -> None:
    with pytest.raises(Rejected, match="workflow key"):
        parse_key(key)


def test_a_run_and_a_connection_are_named_for_people() -> None:
    assert run_id("main-sync:acme:pco:full", 7) == "main-sync:acme:pco:full@7"
    assert connection_key("acme", "pco") == "acme/pco"


@given(NAMES, NAMES, NAMES, NAMES)
def test_all_workflows_of_a_connection_have_its_home(org: str, adapter: str, entity: str, type_: str) -> None:
    home = connection_key(org, adapter)
    assert (
        partition_key(sync_key(org, adapter, type_)) == partition_key(entity_key(org, adapter, entity, type_)) == home
    )
    assert partition_key(home) == home


@pytest.mark.parametrize("key", ["", "party", "main-sync:acme:pco"])
def test_what_is_no_key_is_its_own_home(key: str) -> None:
    assert partition_key(key) == key
