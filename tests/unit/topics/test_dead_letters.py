import pytest
from hypothesis import given
from hypothesis import strategies as st

from topics.catalog import RECORD_BYTES_MAX
from topics.codec import Headers
from topics.dead_letters import DeadLetter, from_record, to_record

NAMES = st.text(max_size=10).filter(lambda name: not name.startswith("sluice-dead-"))
HEADERS = st.lists(st.tuples(NAMES, st.binary(max_size=10)), max_size=3).map(tuple)


def letter(value: bytes | None = b"x", reason: str = "why", key: bytes | None = None, kept: Headers = ()) -> DeadLetter:
    return DeadLetter("control", 3, 99, 1_700_000_000_000, reason, key, value, kept)


@given(st.none() | st.binary(max_size=20), st.text(max_size=50), st.none() | st.binary(max_size=5), HEADERS)
def test_a_dead_letter_is_read_as_it_came(value: bytes | None, reason: str, key: bytes | None, kept: Headers) -> None:
    written = letter(value, reason, key, kept)
    assert from_record(*to_record(written)) == written


def test_a_letter_that_is_written_twice_has_its_last_origin() -> None:
    once = letter(kept=to_record(letter(reason="first"))[2], reason="second")
    assert from_record(*to_record(once)).reason == "second"


def test_a_value_that_is_too_long_is_cut_and_a_header_says_so() -> None:
    _, value, kept = to_record(letter(b"x" * 2_000_000))
    assert len(value or b"") < RECORD_BYTES_MAX
    assert dict(kept)["sluice-dead-cut-from-bytes"] == b"2000000"


def test_key_and_headers_count_towards_the_largest_size() -> None:
    written = letter(b"x" * 500_000, key=b"k" * 300_000, kept=(("h", b"h" * 200_000),))
    key, value, kept = to_record(written)
    size = len(key or b"") + len(value or b"") + sum(len(name) + len(content) for name, content in kept)
    assert size < RECORD_BYTES_MAX


def test_a_long_reason_is_cut() -> None:
    assert len(from_record(*to_record(letter(reason="é" * 5_000))).reason) <= 2_001


@pytest.mark.parametrize("number", [b"", b"x", b"-1", b"9" * 5_000, None])
def test_an_origin_that_is_no_number_is_zero(number: bytes) -> None:
    found = from_record(None, b"x", [("sluice-dead-offset", number), ("sluice-dead-reason", b"why")])
    assert (found.offset, found.reason, found.topic) == (0, "why", "")
