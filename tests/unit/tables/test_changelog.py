"""The changelog of a partition: which records count, how far it is known, and when a deleted key leaves the store."""

from typing import Any

import msgspec
import pytest

from agents.kinds import SHIPPED
from tables.changelog import Changelog, Deleted, guard_in, tombstone_headers, under_epoch
from tables.kinds.sync import SyncState
from tables.requests import RequestLog, decode_requests, encode_requests
from tables.row import HEAD, Row, encode_row
from tests.engine.broker import LogRecord
from topics.errors import Broken

MINE, FROZEN = 20, 10
STORE: dict[bytes, bytes] = {}


def value(epoch: int, seq: int) -> bytes:
    return encode_row(Row[SyncState](epoch=epoch, seq=seq))


def put(offset: int, epoch: int, seq: int = 1, key: bytes = b"a") -> LogRecord:
    return LogRecord("changelog", 0, offset, 0, key, value(epoch, seq), ())


def tombstone(offset: int, epoch: int, seq: int = 2, key: bytes = b"a") -> LogRecord:
    return LogRecord("changelog", 0, offset, 0, key, None, tombstone_headers(epoch, seq))


def folded(*records: LogRecord, stored: dict[bytes, bytes] = STORE, epoch: int = 0) -> tuple[Any, Changelog]:
    changelog = Changelog(epoch)
    return changelog.fold(records, stored.get), changelog


def owned(*records: LogRecord, known: int = 0) -> Changelog:
    changelog = Changelog(MINE, known)
    changelog.begin()
    changelog.fold(records, {b"a": value(MINE, 5)}.get)
    return changelog


def test_a_record_of_a_lower_epoch_than_one_before_it_does_not_count_whatever_its_key() -> None:
    changes, changelog = folded(put(0, FROZEN), put(1, MINE, key=b"b"), put(2, FROZEN, 9), put(3, FROZEN, key=b"c"))
    assert changes == {b"a": value(FROZEN, 1), b"b": value(MINE, 1)}
    assert (changelog.overtaken, changelog.epoch, changelog.known) == ((b"a", b"c"), MINE, 4)


def test_a_frozen_process_neither_brings_a_retired_workflow_back_nor_retires_one_that_began_anew() -> None:
    assert folded(put(0, FROZEN), tombstone(1, MINE), put(2, FROZEN, 9))[0] == {b"a": None}
    assert folded(put(0, MINE, 7), tombstone(1, FROZEN, 99))[0] == {b"a": value(MINE, 7)}


def test_what_was_overtaken_is_not_any_more_once_its_key_is_put_again() -> None:
    _, changelog = folded(put(0, MINE), put(1, FROZEN, 9), put(2, MINE))
    assert (changelog.overtaken, changelog.position) == ((), 2)


def test_a_store_may_note_no_position_behind_a_record_that_is_to_be_put_again() -> None:
    _, changelog = folded(put(0, MINE), put(1, FROZEN), put(2, MINE, key=b"b"))
    assert changelog.position == 0
    changelog.note_put_again()
    assert changelog.position == 2


def test_a_record_that_the_store_has_ahead_of_the_changelog_is_kept() -> None:
    changes, changelog = folded(put(0, MINE, 3), stored={b"a": value(MINE, 4)})
    assert (changes, changelog.overtaken) == ({}, ())


def test_a_store_remembers_the_epoch_that_its_changelog_had_reached() -> None:
    changes, changelog = folded(put(0, FROZEN, 9), epoch=MINE)
    assert (changes, changelog.overtaken) == ({}, (b"a",))


def test_what_is_known_is_not_folded_again() -> None:
    changelog = Changelog(known=2)
    assert changelog.fold([put(1, MINE, 1), put(2, MINE, 2)], STORE.get) == {b"a": value(MINE, 2)}


def test_a_tombstone_that_somebody_puts_by_hand_counts() -> None:
    by_hand = LogRecord("changelog", 0, 1, 0, b"a", None, (("sluice-guard", b"short"),))
    assert guard_in(by_hand) is None
    assert folded(put(0, MINE), by_hand)[0] == {b"a": None}


def test_the_owners_records_that_the_broker_confirms_are_known() -> None:
    changelog = owned(known=5)
    changelog.note_delivered(5, 7)
    changelog.note_delivered(8, 8)
    assert (changelog.known, changelog.position) == (9, 8)


def test_another_processs_record_between_the_owners_is_not_known_until_it_is_read() -> None:
    changelog = owned(known=5)
    changelog.note_delivered(6, 7)
    assert changelog.known == 5
    changelog.fold([put(5, FROZEN)], {b"a": value(MINE, 5)}.get)
    changelog.note_read(6)
    assert (changelog.known, changelog.overtaken) == (8, (b"a",))


def test_an_owner_does_not_take_its_own_records_for_somebody_elses() -> None:
    assert owned(put(0, MINE, 4), put(1, MINE, 5)).overtaken == ()


def test_an_epoch_may_begin_above_all_that_were_begun_in_front_of_it() -> None:
    _, changelog = folded(put(0, FROZEN), put(1, MINE), put(2, FROZEN))
    assert [changelog.may_begin(epoch) for epoch in (MINE - 1, MINE, MINE + 1)] == [False, False, True]


def test_an_owner_that_meets_a_higher_epoch_has_been_cut_off_itself() -> None:
    with pytest.raises(Broken, match="another process has taken the partition over"):
        owned(put(0, MINE + 1))


@pytest.mark.parametrize("epoch", [0, FROZEN])
def test_a_record_that_is_put_again_is_the_same_under_another_epoch(epoch: int) -> None:
    state = SyncState(org="acme", adapter="toy", type="full", run=7, request="r", started_at=5)
    row = Row[Any](epoch=epoch, seq=3, due=4, due_set_at=1, state=state, last_offset={"control": 9})
    again = under_epoch(encode_row(row), MINE)
    assert SHIPPED.read_row(again) == msgspec.structs.replace(row, epoch=MINE)
    assert again[: HEAD.size] == HEAD.pack(MINE, 3, 4)


def test_a_request_log_that_is_put_again_is_the_same_under_another_epoch() -> None:
    log = RequestLog().adding("request-1", "start-sync@4", 60, FROZEN)
    again = decode_requests(under_epoch(encode_requests(log), MINE))
    assert (again.epoch, again.seq, again.requests) == (MINE, log.seq, log.requests)


def test_a_deleted_key_leaves_the_store_once_its_tombstone_is_confirmed() -> None:
    deleted = Deleted()
    deleted.note({b"a": None, b"b": b"put"})
    deleted.note_sent([(b"b", b"put", ()), (b"a", None, ())])
    deleted.note_delivered(1)
    assert (b"a" in deleted, b"b" in deleted, deleted.take_delivered()) == (True, False, [])
    deleted.note_delivered(1)
    assert (deleted.take_delivered(), b"a" in deleted) == ([b"a"], False)


def test_a_key_that_has_a_value_again_stays_in_the_store() -> None:
    deleted = Deleted()
    deleted.note({b"a": None})
    deleted.note({b"a": b"again"})
    deleted.note_sent([(b"a", None, ()), (b"a", b"again", ())])
    deleted.note_delivered(2)
    assert deleted.take_delivered() == []
