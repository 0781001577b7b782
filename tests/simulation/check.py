"""What must hold at the end of a history. Each promise is a small function that yields what broke it, as sentences."""

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import msgspec

from agents.core.context import dead_letter
from agents.core.processor import read_command
from service.status.rows import timeline_values
from tables.row import guard_of
from tests.counter.commands import StartCounter
from tests.counter.kind import WITH_COUNTER
from tests.counter.state import CounterState
from tests.engine.broker import LogRecord
from tests.engine.projector import guard
from tests.simulation import reads
from tests.simulation.journal import counting, epoch_of, lineages, newest_by_run
from tests.simulation.world import World
from topics.catalog import CHANGELOG, DEAD_LETTERS
from topics.dead_letters import DeadLetter, from_record
from topics.errors import Rejected
from topics.kinds.sync import StartSync

Promise = Callable[[World], Iterator[str]]


def no_committed_page_is_requested_again(world: World) -> Iterator[str]:
    for run, parent, page in world.api.requested_again:
        yield f"{run}: page {page} {parent} was requested although it was committed"


def a_page_is_committed_once(world: World) -> Iterator[str]:
    times = Counter((one.run, one.parent, one.page) for one in world.sink.committed)
    yield from (f"{page} was committed {count} times" for page, count in times.items() if count > 1)


def nothing_is_written_under_a_closed_or_older_run(world: World) -> Iterator[str]:
    for one in world.sink.committed:
        if one.state != "open" or one.number < one.newest:
            yield f"{one.run}: page {one.page} was committed while it was {one.state}, the newest was {one.newest}"


def rows_are_those_of_committed_pages(world: World) -> Iterator[str]:
    written = {row for one in world.sink.committed for row in one.rows}
    stored = {(name, *row) for name, rows in world.sink.rows.items() for row in rows}
    if written != stored:
        yield f"{len(stored - written)} rows of no committed page, {len(written - stored)} rows lost"


def every_request_is_in_a_history_or_a_dead_letter(world: World) -> Iterator[str]:
    """A run was begun for it, it waits for one, or it was attached to one: the journal says so."""
    rejected = {request.request_id for letter in _letters(world) if (request := _request(letter))}
    accepted = {request for lineage in lineages(world) for request in lineage.requests()}
    for model in (StartSync, StartCounter):
        for record in world.broker.topic(model.topic):
            request = _request(dead_letter(record, ""))
            if request is not None and request.request_id not in accepted | rejected:
                yield f"{request.request_id} at {record.topic}/{record.partition}@{record.offset} was lost"


def no_request_runs_twice(world: World) -> Iterator[str]:
    for lineage in lineages(world):
        yield from lineage.repeated()


def nobody_waits_in_vain(world: World) -> Iterator[str]:
    """In quiet, whoever takes over sends the pending commands at once: deadlines are for what was lost by force."""
    yield from world.stranded


def each_poison_message_is_a_dead_letter_and_nothing_else_is(world: World) -> Iterator[str]:
    letters = {(letter.topic, letter.partition, letter.offset): letter.reason for letter in _letters(world)}
    for origin in sorted(world.clients.poison - letters.keys()):
        yield f"the poison at {origin} has no dead letter"
    for origin in sorted(letters.keys() - world.clients.poison):
        if origin[0] != StartSync.topic:
            yield f"a good message at {origin} is a dead letter: {letters[origin]}"


def a_counter_ticks_as_often_as_it_should_and_never_early(world: World) -> Iterator[str]:
    """Its times are the broker's, whose clock may be put back; then its distances say nothing."""
    for row in newest_by_run(world).values():
        state = row.state
        if not isinstance(state, CounterState):
            continue
        times = (state.started_at, *state.ticks)
        is_early = any(after - before < state.every_ms for before, after in pairwise(times))
        if is_early and not world.broker_was_skewed:
            yield f"{state.run_id} ticked early: {times}, every {state.every_ms}"
        if state.has_ended and world.recorded.get((state.key, state.run)) != {state.target}:
            yield f"{state.run_id} recorded {world.recorded.get((state.key, state.run))}, not {state.target}"


def the_stores_say_what_the_journal_says(world: World) -> Iterator[str]:
    """Newest version of each record, in every partition."""
    folded: dict[tuple[int, bytes], bytes] = {}
    for record, _ in counting(world):
        key = (record.partition, record.key or b"")
        before = folded.get(key)
        if record.value is None:
            folded.pop(key, None)
        elif before is None or guard_of(record.value) >= guard_of(before):
            folded[key] = record.value
    stored = world.rows()
    for key in sorted(folded.keys() | stored.keys()):
        if folded.get(key) != stored.get(key):
            yield f"{key[1].decode()}: the store and the changelog of {key[0]} disagree"


def the_last_record_of_each_key_is_the_stores(world: World) -> Iterator[str]:
    """So that compaction leaves what counts, whoever else has sent records."""
    last = {(record.partition, record.key or b""): record.value for record in world.broker.topic(CHANGELOG)}
    stored = world.rows()
    for key in sorted(last):
        if last[key] != stored.get(key):
            yield f"{key[1].decode()}: compaction would leave in {key[0]} a record that does not count"


def whoever_takes_over_knows_all_that_counts(world: World) -> Iterator[str]:
    """All that counts in front of the first record of an epoch was restored by its owner before it began."""
    epochs, last = dict[int, int](), dict[int, int]()
    for record, by in counting(world):
        partition, epoch = record.partition, epoch_of(record)
        if epoch > epochs.get(partition, 0):
            epochs[partition] = epoch
            known = world.begun[by].get((partition, epoch))
            if known is not None and last.get(partition, -1) >= known:
                yield f"{by} took {partition} over with {known} records, and {last[partition] + 1} count"
        last[partition] = record.offset


def the_journal_is_gapless_and_legal(world: World) -> Iterator[str]:
    for lineage in lineages(world):
        yield from lineage.violations()


def published_state_is_the_journals(world: World) -> Iterator[str]:
    newest = newest_by_run(world)
    for run, record in newest.items():
        row = world.published.runs.get(run)
        if row is None or guard(row) != (record.epoch, record.seq):
            yield f"{run}: published {row and guard(row)}, the journal has {record.epoch}, {record.seq}"
        elif row["state"] != msgspec.json.encode(record.state).decode():
            yield f"{run}: the published state is not the journal's"
    for key in sorted(world.published.runs.keys() - newest.keys(), key=str):
        yield f"{key} is published, and not in the journal"


def every_published_run_has_ended(world: World) -> Iterator[str]:
    """Or a newer one of its workflow has taken its place: newer in the journal, whatever its number; or it never
    counted."""
    for key, row in world.published.runs.items():
        if row["status"] not in ("done", "failed", "cancelled") and key not in world.published.superseded:
            yield f"{key} is published as {row['status']} for ever"


def every_notable_transition_is_in_the_timeline(world: World) -> Iterator[str]:
    for row in world.records():
        state: Any = row.state
        for entry in row.history:
            if timeline_values(state.key, entry) not in world.published.timeline:
                yield f"{state.key}: {entry.event!r} is not in the timeline"


PROMISES: tuple[Promise, ...] = (
    no_committed_page_is_requested_again,
    a_page_is_committed_once,
    nothing_is_written_under_a_closed_or_older_run,
    rows_are_those_of_committed_pages,
    *reads.PROMISES,
    every_request_is_in_a_history_or_a_dead_letter,
    no_request_runs_twice,
    nobody_waits_in_vain,
    each_poison_message_is_a_dead_letter_and_nothing_else_is,
    a_counter_ticks_as_often_as_it_should_and_never_early,
    the_stores_say_what_the_journal_says,
    the_last_record_of_each_key_is_the_stores,
    whoever_takes_over_knows_all_that_counts,
    the_journal_is_gapless_and_legal,
    published_state_is_the_journals,
    every_published_run_has_ended,
    every_notable_transition_is_in_the_timeline,
)


def _letters(world: World) -> list[DeadLetter]:
    return [from_record(one.key, one.value, one.headers) for one in world.broker.topic(DEAD_LETTERS)]


def _request(letter: DeadLetter) -> StartSync | StartCounter | None:
    """The request in a message, if there is one."""
    record = LogRecord(letter.topic, letter.partition, letter.offset, letter.at, None, letter.value, letter.headers)
    try:
        command = read_command(record, WITH_COUNTER)
    except Rejected:
        return None
    return command if isinstance(command, StartSync | StartCounter) else None
