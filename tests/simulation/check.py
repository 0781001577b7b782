"""What must hold at the end of a history."""

from collections.abc import Iterator

from tables.catalog import read_row
from tables.row import guard_of
from tests.simulation.world import KEYS, World
from topics.catalog import CHANGELOG, DEAD_LETTERS
from topics.codec import decode
from topics.dead import dig_up


def violations(world: World) -> Iterator[str]:
    """Each promise that this history broke, as a sentence."""
    yield from _pages(world)
    yield from _runs(world)
    yield from _rows(world)
    yield from _requests(world)
    yield from _journal(world)


def _pages(world: World) -> Iterator[str]:
    for entity, parent, page in world.source.asked_again:
        yield f"{entity} {parent} page {page} was asked for although it was committed"


def _runs(world: World) -> Iterator[str]:
    for state in world.states():
        if state.status != "done":
            yield f"{state.run_id} is {state.status}: {state.reason}"
        for name, child in state.children.items():
            if child.status != "done":
                yield f"{state.run_id}: {name} is {child.status}: {child.reason}"


def _rows(world: World) -> Iterator[str]:
    data = world.source.data
    for state in world.states():
        for name, child in state.children.items():
            expected = {
                key for place, keys in data.items() if place == name or place.startswith(f"{name}/") for key in keys
            }
            stored = {key for org, key in world.sink.rows.get(name, {}) if org == state.org}
            if stored != expected:
                yield f"{state.org} {name}: {len(stored)} rows, {len(expected)} in the source"
            if child.records != len(expected):
                yield f"{state.org} {name}: the run counted {child.records} records of {len(expected)}"


def _requests(world: World) -> Iterator[str]:
    """Every request is remembered by its workflow, or buried."""
    buried = {
        decode(letter.topic, letter.value).id
        for letter in (dig_up(one.key, one.value, one.headers) for one in world.broker.topics[DEAD_LETTERS])
    }
    seen: set[str] = set()
    for key in KEYS:
        value = world.worker.store.values.get(key.encode())
        seen |= set(read_row(value).seen) if value else set()
    for request in world.requests:
        if request.id not in seen and request.id not in buried:
            yield f"{request.request_id} of {request.org} was lost"


def _journal(world: World) -> Iterator[str]:
    """The store says what the changelog says, newest version of each record."""
    folded: dict[bytes, bytes] = {}
    for record in world.broker.topics[CHANGELOG]:
        assert record.key is not None
        before = folded.get(record.key)
        if record.value is None:
            folded.pop(record.key, None)
        elif before is None or guard_of(record.value) >= guard_of(before):
            folded[record.key] = record.value
    for key in sorted(folded.keys() | world.worker.store.values.keys()):
        if folded.get(key) != world.worker.store.values.get(key):
            yield f"{key.decode()}: the store and the changelog disagree"
