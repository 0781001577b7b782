"""The API of a history: lists that move while they are read, records that change, and ways of paging that are unkind.

A list of an entity whose manifest names an order is always in it; so is one whose links are stable. Others are in no
order: their records come in front, go and change places.
"""

from bisect import bisect_right, insort
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

from agents.ports import FetchRequest, PageBody, RowWrite
from manifests.entity import Adapter, Entity, columns
from tests.engine.outside import begun
from tests.support.memory import ListSource, list_name

TIME_SECONDS = 20  # source times are so coarse: many a change has the time of the one before it
BACK = timedelta(hours=1)
UNKIND = 0.15  # how often an entity's API is unkind in one of these ways
MOVES_PER_FETCH = (0.0, 0.05, 0.3, 0.9)  # how often a list moves when a page of it is requested
FAST = 0.1
MOVES_MAX = 4  # at once
GLITCHES = (0.0, 0.0, 0.05, 0.2)
ENDLESS = ("cycle", "ignores the offset")
ENDLESS_HISTORIES = 0.15
PARENTS = {"a.room": "a.house", "b.piece": "b.part"}
CHILDREN = {parent: child for child, parent in PARENTS.items()}

Place = tuple[str, str]  # list and key


@dataclass(frozen=True)
class Content:
    """What a record says now, and when it was changed by the source's own word."""

    version: int
    updated_at: datetime | None


@dataclass
class Manner:
    """How an API shows the lists of an entity. `endless`: it never comes to an end, until it is mended."""

    records_max: int = 1_000
    has_total: bool = True
    has_empty_pages: bool = False
    endless: str = ""


class MovingSource(ListSource):
    """`births` says for each record that is there at which step it came: what moves and what is read is a step.
    `endless` are the entities whose API has no end, `misled` how many pages each run has read of it."""

    def __init__(
        self, data: dict[str, list[str]], adapters: Iterable[Adapter], random: Random, now: Callable[[], datetime]
    ) -> None:
        super().__init__(data)
        self.step = 0
        self.births: dict[Place, int] = {}
        self.contents: dict[Place, Content] = {}
        self.entities = {one.name: one for adapter in adapters for one in adapter.entities.values()}
        self.manners = {name: _manner(random) for name in self.entities}
        self.moves_per_fetch, self.glitches = random.choice(MOVES_PER_FETCH), random.choice(GLITCHES)
        self.misled: Counter[str] = Counter()
        self.is_fast = self.moves_per_fetch > FAST
        self._random = random
        self._now = now
        self._glitched: set[tuple[object, ...]] = set()
        self._made = 0
        if random.random() < ENDLESS_HISTORIES:
            self.manners[random.choice(sorted(self.entities))].endless = random.choice(ENDLESS)
        self.endless = {name for name, manner in self.manners.items() if manner.endless}
        for name, key in self._places():
            self._begin(name, key)

    def rest(self) -> None:
        """Nothing moves any more, and what never came to an end does so now."""
        self.moves_per_fetch = self.glitches = 0.0
        for manner in self.manners.values():
            manner.endless = ""

    def move(self, name: str | None = None) -> None:
        """A record of a list comes, goes, changes, or takes another place."""
        self.step += 1
        name = name or self._random.choice(sorted(self.data))
        keys = self.data[name]
        match self._random.choice(("insert", "delete", "delete", "edit", "reorder")) if keys else "insert":
            case "insert":
                self._insert(name)
            case "delete":
                self._delete(name, self._random.randrange(len(keys)))
            case "edit":
                self._edit((name, self._random.choice(keys)))
            case "reorder" if not self.is_ordered(name):
                keys.insert(self._random.randrange(len(keys)), keys.pop(self._random.randrange(len(keys))))

    def page(self, request: FetchRequest, name: str) -> PageBody | None:
        self.step += 1
        if name in self.data and self._random.random() < self.moves_per_fetch:
            for _ in range(self._random.randint(1, MOVES_MAX)):
                self.move(name)
        keys = self.data.get(name)
        if keys is None:
            return None
        manner = self.manners[request.entity.name]
        start = self._start(request, keys)
        if self._has_glitch(request, start, len(keys)) and manner.has_total:
            return PageBody((), (), None, len(keys), 0)
        if manner.endless == "ignores the offset":
            self.misled[begun.get()[0]] += request.start != 0
            start = 0
        size = min(request.size, manner.records_max)
        shown = keys[start : start + size]
        link = self._link(request, keys, start, size)
        if manner.has_empty_pages and self.is_stable(request.entity.name) and self._random.random() < 0.3:
            shown, link = [], f"?after={keys[start - 1] if start else ''}&again={self._random.random()}"
        return self.body(request, name, shown, link, len(keys) if manner.has_total else None)

    def row(self, entity: Entity, name: str, key: str) -> RowWrite:
        """A record as the entity's manifest has it stored."""
        content = self.contents[name, key]
        parent = name.partition("/")[2]
        values = tuple(f"{column.name} {content.version}" if column.source else parent for column in columns(entity))
        names = [column.name for column in columns(entity)]
        said = f"{names} {values} {content.version} {content.updated_at}"
        return RowWrite(key, values, f'{{"version": {content.version}}}', said.encode(), content.updated_at)

    def expected(self, entity: Entity) -> dict[str, RowWrite]:
        """The rows of all its records, by their keys."""
        lists = self.lists(entity.name)
        return {key: self.row(entity, name, key) for name in lists for key in self.data[name]}

    def lists(self, entity: str) -> list[str]:
        return [name for name in self.data if name.partition("/")[0] == entity]

    def _start(self, request: FetchRequest, keys: Sequence[str]) -> int:
        """The position of the first record that was asked for."""
        if request.link is not None and "after=" in request.link:
            return bisect_right(keys, request.link.partition("after=")[2].partition("&")[0])
        return request.start or 0

    def _link(self, request: FetchRequest, keys: Sequence[str], start: int, size: int) -> str | None:
        following = start + size
        endless = self.manners[request.entity.name].endless
        if endless == "ignores the offset":
            following = (request.start or 0) + size
        elif endless == "cycle" and following >= len(keys) and request.page > 1:
            self.misled[begun.get()[0]] += 1
            following = size
        elif following >= len(keys):
            return None
        if self.is_stable(request.entity.name):
            return f"?after={keys[min(following, len(keys)) - 1] if keys else ''}"
        return f"?offset={following}"

    def _has_glitch(self, request: FetchRequest, start: int, count: int) -> bool:
        """An empty page where there are records, once; it contradicts itself, since it says how many there are."""
        page = (request.org, list_name(request), start)
        if request.start is None or start >= count or self._random.random() >= self.glitches or page in self._glitched:
            self._glitched.discard(page)
            return False
        self._glitched.add(page)
        return True

    def _insert(self, name: str) -> None:
        self._made += 1
        keys, key = self.data[name], f"z{self._made:05}"  # behind all others
        if self.is_stable(name):
            key = f"{self._random.choice('abcxyz')}{self._made:05}"
            insort(keys, key)
        elif self.is_ordered(name):
            keys.append(key)
        else:
            keys.insert(self._random.choice((0, self._random.randint(0, len(keys)))), key)
        self._begin(name, key)
        if child := CHILDREN.get(name):
            self.data[f"{child}/{key}"] = [f"{key}-{number}" for number in range(self._random.randint(0, 6))]
            for below in self.data[f"{child}/{key}"]:
                self._begin(f"{child}/{key}", below)

    def _delete(self, name: str, index: int) -> None:
        key = self.data[name].pop(index)
        self._end(name, key)
        if child := CHILDREN.get(name):
            for below in self.data.pop(f"{child}/{key}"):
                self._end(f"{child}/{key}", below)

    def _edit(self, place: Place) -> None:
        """Its time moves on, stays as it was, goes back, or is not known any more."""
        self._made += 1
        before = self.contents[place].updated_at
        times = [self._time(), self._time(), before, before - BACK if before else None, None]
        self.contents[place] = Content(self._made, self._random.choice(times))

    def _begin(self, name: str, key: str) -> None:
        self.births[name, key] = self.step
        self.contents[name, key] = Content(0, self._random.choice((self._time(), None)))

    def _end(self, name: str, key: str) -> None:
        del self.births[name, key], self.contents[name, key]

    def _time(self) -> datetime:
        now = self._now()
        return now - timedelta(seconds=now.timestamp() % TIME_SECONDS)

    def is_ordered(self, name: str) -> bool:
        return self.entities[name.partition("/")[0]].reads.full.order is not None or self.is_stable(name)

    def is_stable(self, name: str) -> bool:
        paging = self.entities[name.partition("/")[0]].paging
        return paging.style == "link" and paging.stable is not None

    def _places(self) -> Iterator[Place]:
        return ((name, key) for name, keys in self.data.items() for key in keys)


def _manner(random: Random) -> Manner:
    manner = Manner()
    if random.random() < UNKIND:
        manner.records_max = random.randint(1, 3)
    if random.random() < UNKIND:
        manner.has_total = False
    manner.has_empty_pages = random.random() < UNKIND
    return manner
