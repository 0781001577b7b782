import pytest
from hypothesis import given
from hypothesis import strategies as st

from topics.errors import Rejected
from topics.ids import NAME_PATTERN, connection_key, derive_id, partition_key, run_id
from topics.kinds import entity, sync

NAMES = st.from_regex(NAME_PATTERN.removesuffix("$"), fullmatch=True)


@given(st.lists(st.text(), max_size=4), st.lists(st.text(), max_size=4))
def test_ids_are_equal_only_if_all_that_they_name_is(one: list[str], two: list[str]) -> None:
    assert (derive_id(*one) == derive_id(*two)) == (one == two)


def test_an_id_never_changes() -> None:
    assert derive_id("start-sync", "main-sync:acme:pco:full", "r1") == "699e116c53ad34358918c06bc83a37d6"


@given(NAMES, NAMES, NAMES, NAMES)
def test_a_key_is_parsed_into_what_it_was_made_of(org: str, adapter: str, name: str, type_: str) -> None:
    parsed = sync.KEY.parse(sync.KEY.key(org, adapter, type_))
    assert parsed == {"org": org, "adapter": adapter, "type": type_}
    assert entity.KEY.parse(entity.KEY.key(org, adapter, name, type_)) == {**parsed, "entity": name}


@pytest.mark.parametrize(
    "key",
    [
        "",
        "main-sync",
        "main-sync:acme:pco",
        "main-sync:acme:pco:full:more",
        "main-sync:acme:pco:full\n",
        "entity-sync:acme:pco:full",
        "main-sync:-acme:pco:full",
        "main-sync:a b:pco:full",
        f"main-sync:{'x' * 65}:pco:full",
    ],
)
def test_what_is_no_key_is_rejected(key: str) -> None:
    with pytest.raises(Rejected, match="workflow key"):
        sync.KEY.parse(key)


def test_a_run_and_a_connection_are_named_for_people() -> None:
    assert run_id("main-sync:acme:pco:full", 7) == "main-sync:acme:pco:full@7"
    assert connection_key("acme", "pco") == "acme/pco"


@given(NAMES, NAMES, NAMES, NAMES)
def test_all_workflows_of_a_connection_have_its_partition(org: str, adapter: str, name: str, type_: str) -> None:
    keys = (sync.KEY.key(org, adapter, type_), entity.KEY.key(org, adapter, name, type_), connection_key(org, adapter))
    assert {partition_key(key) for key in keys} == {connection_key(org, adapter)}


@pytest.mark.parametrize("key", ["", "party", "main-sync:acme:pco"])
def test_what_is_no_key_has_a_partition_of_its_own(key: str) -> None:
    assert partition_key(key) == key
