from hashlib import sha256

import pytest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from hypothesis import given
from hypothesis import strategies as st

from topics.catalog import RECORD_BYTES_MAX
from topics.codec import Headers
from topics.dead_letters import DeadLetter, from_record, to_record

NAMES = st.text(max_size=10).filter(lambda name: not name.startswith("sluice-dead-"))
CONTENTS = st.none() | st.binary(max_size=10)
HEADERS = st.lists(st.tuples(NAMES, CONTENTS), max_size=3).map(tuple)
SIZES = st.sampled_from([0, 1, 100, 9_999, 10_001, 60_000, 900_000, 3_000_000])
MANY = st.sampled_from([0, 1, 99, 101, 10_000])


def letter(value: bytes | None = b"x", reason: str = "why", key: bytes | None = None, kept: Headers = ()) -> DeadLetter:
    return DeadLetter("control", 3, 99, 1_700_000_000_000, reason, key, value, kept)


def size_in_kafka(record: tuple[bytes | None, bytes | None, Headers]) -> int:
    key, value, kept = record
    size: int = DefaultRecordBatchBuilder.estimate_size_in_bytes(key, value, list(kept))
    return size


@given(st.none() | st.binary(max_size=20), st.text(max_size=50), CONTENTS, HEADERS)
def test_a_dead_letter_is_read_as_it_came(value: bytes | None, reason: str, key: bytes | None, kept: Headers) -> None:
    written = letter(value, reason, key, kept)
    assert from_record(*to_record(written)) == written


def test_a_letter_that_is_written_twice_has_its_last_origin() -> None:
    once = letter(kept=to_record(letter(reason="first"))[2], reason="second")
    assert from_record(*to_record(once)).reason == "second"


@given(SIZES, SIZES, MANY, SIZES, st.booleans())
def test_a_dead_letter_fits_its_topic_whatever_comes_in(
    key: int, value: int, headers: int, header: int, has_content: bool
) -> None:
    first = ("é" * (header // 2), b"h" * header if has_content else None)
    others = tuple((f"h{number}", None if number % 2 else b"x") for number in range(headers))
    record = to_record(letter(b"v" * value, "é" * 5_000, b"k" * key, (first, *others)))
    assert size_in_kafka(record) < RECORD_BYTES_MAX


def test_what_is_cut_is_named_by_length_and_digest() -> None:
    key, value = b"k" * 1_000_000, b"v" * 2_000_000
    found = from_record(*to_record(letter(value, key=key)))
    assert found.cut == (
        f"key: 1000000 bytes, sha256 {sha256(key).hexdigest()}",
        f"value: 2000000 bytes, sha256 {sha256(value).hexdigest()}",
    )
    assert key.startswith(found.key or b"-")
    assert value.startswith(found.value or b"-")


def test_a_header_that_is_too_long_is_left_out_and_the_others_stay() -> None:
    found = from_record(*to_record(letter(kept=(("long", b"x" * 60_000), ("none", None), ("short", b"s")))))
    framed = b"4:long60000:" + b"x" * 60_000
    assert found.headers == (("none", None), ("short", b"s"))
    assert found.cut == (f"headers: 1 of 3 left out, {len(framed)} bytes, sha256 {sha256(framed).hexdigest()}",)


def test_a_long_reason_is_cut() -> None:
    assert len(from_record(*to_record(letter(reason="é" * 5_000))).reason) <= 2_001


@pytest.mark.parametrize("number", [b"", b"x", b"-1", b"9" * 5_000, None])
def test_an_origin_that_is_no_number_is_zero(number: bytes | None) -> None:
    found = from_record(None, b"x", [("sluice-dead-offset", number), ("sluice-dead-reason", b"why")])
    assert (found.offset, found.reason, found.topic) == (0, "why", "")
