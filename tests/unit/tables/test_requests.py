import pytest

from tables.requests import (
    REQUESTS_MAX,
    SLOTS,
    LoggedRequest,
    RequestLog,
    decode_requests,
    encode_requests,
    is_request_log,
    log_key,
    slot_of,
)
from tables.row import GUARD, guard_of
from tests.engine.clock import T0
from topics.catalog import DAY_MS, MESSAGE_RETENTION_MS, RECORD_BYTES_MAX
from topics.errors import Broken, Rejected

HERE, ELSEWHERE = "start-sync@1", "start-sync@2"
WORKFLOW = "main-sync:acme:toy:full"


def request(number: int) -> str:
    return f"{number:032x}"[::-1]


def test_a_request_is_a_duplicate_if_it_was_accepted_from_another_message_or_passed_on_before() -> None:
    log = RequestLog().adding(request(1), HERE, T0, 1).adding(request(2), "", T0, 1)
    asked = [(1, ELSEWHERE), (1, ""), (2, HERE), (2, ""), (1, HERE), (3, ELSEWHERE)]
    assert [log.is_duplicate(request(number), position) for number, position in asked] == [True] * 4 + [False] * 2


def test_a_rejected_request_is_rejected_again_and_may_come_again_in_another_message() -> None:
    log = RequestLog().adding(request(1), HERE, T0, 1, "run is in progress" + "!" * 500)
    logged = log.find(request(1), HERE)
    assert logged is not None
    assert logged.rejection == "run is in progress" + "!" * 81 + "…"
    assert (log.find(request(1), ELSEWHERE), log.is_duplicate(request(1), ELSEWHERE)) == (None, False)


def test_the_same_message_again_takes_its_own_place() -> None:
    log = RequestLog().adding(request(1), HERE, T0, 1).adding(request(1), HERE, T0, 2)
    assert (len(log.requests), log.epoch, log.seq) == (1, 2, T0 + 1)


def test_requests_of_a_day_take_the_place_of_those_of_a_week_before() -> None:
    week_ms = SLOTS * DAY_MS
    log = RequestLog().adding(request(1), HERE, T0, 1).adding(request(2), ELSEWHERE, T0 + week_ms, 1)
    assert [one.position for one in log.requests] == [ELSEWHERE]
    assert slot_of(T0) == slot_of(T0 + week_ms)
    assert len({slot_of(T0 + day * DAY_MS) for day in range(SLOTS)}) == SLOTS
    assert week_ms > MESSAGE_RETENTION_MS


def test_a_full_day_of_requests_is_a_record_that_kafka_takes_and_one_more_is_rejected() -> None:
    requests = [LoggedRequest(request(n)[:16], f"start-sync@{10**15 + n}", "x" * 100) for n in range(REQUESTS_MAX)]
    full = RequestLog(requests=tuple(requests), day=T0 // DAY_MS)
    assert len(encode_requests(full)) < RECORD_BYTES_MAX
    with pytest.raises(Rejected, match="1,000 requests on one day, the most that are remembered"):
        full.adding(request(REQUESTS_MAX), HERE, T0, 1)
    assert len(full.adding(request(REQUESTS_MAX), HERE, T0 + DAY_MS, 1).requests) == 1


def test_a_request_log_is_distinguished_from_a_record_by_its_key_and_carries_its_epoch_like_one() -> None:
    log = RequestLog().adding(request(1), HERE, T0, 7)
    assert decode_requests(encode_requests(log)) == log
    assert GUARD.unpack(guard_of(encode_requests(log))) == (7, log.seq)
    assert is_request_log(log_key(WORKFLOW, 3))
    assert not is_request_log(WORKFLOW.encode())


@pytest.mark.parametrize("value", [b"", b"\0" * 24, b"\0" * 24 + b"{"])
def test_what_is_no_request_log_stops_the_process(value: bytes) -> None:
    with pytest.raises(Broken, match="a request log cannot be read"):
        decode_requests(value)
