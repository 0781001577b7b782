"""A source whose records change, come and go, read by the real reader; and a driver that reads it as the decider has it
read."""

from collections.abc import Callable
from datetime import datetime, timedelta
from random import Random

import msgspec
from msgspec.structs import replace

from agents.activities.database import Database
from agents.activities.fetch import LeaseReader
from agents.activities.pages import Pages
from agents.ports import FetchRequest, PageBody, RunRef
from agents.records.position import positions
from agents.records.reader import read_page
from manifests.delta import changes_since
from manifests.entity import Adapter, AdapterFile, Entity
from tests.engine.clock import MovableClock
from tests.support.memory import MemorySink
from topics.kinds.entity import FetchPages, PageDone

BEGIN = MovableClock().now()
PAGE = 4
LOOKBACK = 60
ORDER = {"by": [{"type": "text", "from": "id"}], "evidence": "the source sorts by id"}
WAYS = ("where-and-order", "where", "order", "append")


def entity(way: str) -> Entity:
    field = "created_at" if way == "append" else "updated_at"
    delta = {"by": way, "field": field, "lookback_seconds": LOOKBACK}
    return Entity.model_validate(
        {
            "name": f"x.{way.replace('-', '_')}",
            "path": "/x",
            "updated_at": "updated_at",
            "paging": {"style": "offset", "size": PAGE},
            "fields": {"created_at": {"type": "timestamp", "from": "created_at"}},
            "reads": {"full": {"order": ORDER}, "delta": delta},
        }
    )


def adapter() -> Adapter:
    file = AdapterFile.model_validate(
        {
            "name": "toy",
            "title": "Toy",
            "base_url": "http://127.0.0.1",
            "body": {"records": "data", "next": "next", "total": "total"},
            "parameters": {"since": "since[{field}]"},
            "limit": {"requests": 100, "seconds": 1},
        }
    )
    return Adapter(file=file, entities={one.name: one for one in map(entity, WAYS)})


class ChangingSource:
    """`skew` is how far its clock is from `clock`. Between any two requests `moves` changes are made, at random.
    `has_filter`: it knows what it is asked for; else it ignores that."""

    def __init__(self, random: Random, records: int, clock: MovableClock) -> None:
        self.random = random
        self.clock = clock
        self.skew = timedelta(0)
        self.records: dict[str, dict[str, object]] = {}
        self.has_filter = True
        self.moves = 0
        self.on_request: Callable[[], None] = lambda: None
        self.requests: list[FetchRequest] = []
        self._made = 0
        for _ in range(records):
            self.insert()

    def insert(self) -> None:
        self._made += 1
        id = f"{self._made:05}"
        self.records[id] = {"id": id, "created_at": self._time(), "updated_at": self._time(), "version": 0}

    def edit(self, id: str, late: int = 0) -> None:
        """`late`: its time is so many seconds ago, as of a transaction that shows only now."""
        version = self.records[id]["version"]
        assert isinstance(version, int)
        self.records[id] |= {"version": version + 1, "updated_at": self._time(late)}

    @property
    def now(self) -> datetime:
        return self.clock.now() + self.skew

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)

    def versions(self) -> dict[str, object]:
        return {id: one["version"] for id, one in self.records.items()}

    async def fetch(self, request: FetchRequest) -> PageBody | None:
        self.requests.append(request)
        self.on_request()
        asked_at = self.now.replace(microsecond=0)
        self.pass_time(self.random.choice((0.0, 0.2, 1.1)))
        for _ in range(self.moves):
            self._move(request.entity)
        shown = self._listed(request.entity)
        start = request.start or 0
        following = start + request.size
        document = {"data": shown[start:following], "total": len(shown)}
        document |= {"next": f"/x?offset={following}"} if following < len(shown) else {}
        page = read_page(msgspec.json.encode(document), request.adapter.file, request.entity, "", request.cut())
        return replace(page, requested_at=asked_at, asked_at=asked_at)

    def _move(self, of: Entity) -> None:
        ids = sorted(self.records)
        delta = of.reads.delta
        is_log = delta is not None and delta.by == "append"
        match self.random.choice(("insert", "delete", "edit", "edit")):
            case "delete" if ids:
                del self.records[self.random.choice(ids)]
            case "edit" if ids and not is_log:
                self.edit(self.random.choice(ids), self.random.choice((0, 0, LOOKBACK - 5)))
            case _:
                self.insert()

    def _listed(self, of: Entity) -> list[dict[str, object]]:
        full = of.reads.full
        since = full.query.get("since[updated_at]") if self.has_filter else None
        found = [one for one in self.records.values() if since is None or str(one["updated_at"]) >= since]
        order = full.order
        assert order is not None
        if not self.has_filter:
            return sorted(found, key=lambda one: str(one["id"]))
        return sorted(found, key=lambda one: (positions([one], order) or [""])[0])

    def _time(self, late: int = 0) -> str:
        return (self.now - timedelta(seconds=late)).strftime("%Y-%m-%dT%H:%M:%SZ")


class ChangesBench:
    """Runs of one entity, one after the other."""

    def __init__(self, way: str, random: Random, records: int = 10) -> None:
        self.clock = MovableClock()
        self.source = ChangingSource(random, records, self.clock)
        self.sink = MemorySink()
        self.entity = entity(way).name
        self.database = Database(self.sink, self.clock.sleep)
        self.reader = LeaseReader(self.source, self.database, {"toy": adapter()}, self.clock, self.clock.sleep)
        self._runs = 0

    async def sync(self, type_: str) -> PageDone:
        """A run, lease by lease, to its end."""
        self._runs += 1
        first, cursor, lease, is_closing = 1, None, 1, False
        while True:
            command = FetchPages(
                workflow=f"entity-sync:acme:toy:{self.entity}:{type_}", run=self._runs, org="acme", adapter="toy",
                entity=self.entity, type=type_, lease=lease, first=first, units=3, cursor=cursor, closing=is_closing,
            )  # fmt: skip
            done = await self.reader.read(command)
            assert done.error is None, done.reason
            if done.closed is not None:
                return done
            first, cursor, lease, is_closing = first + done.units, done.next_cursor, lease + 1, is_closing or done.end

    def pages(self, since: datetime) -> Pages:
        """Of a delta since then."""
        file, entity = adapter().file, changes_since(adapter().file, adapter().entities[self.entity], since)
        run = RunRef(f"entity-sync:acme:toy:{self.entity}:delta", 1, "acme", "toy", self.entity, "delta")
        made = Adapter(file=file, entities={self.entity: entity})
        return Pages(run, made, entity, self.source, self.database, self.clock, self.clock.sleep, 1, since)

    def stored(self) -> dict[str, object]:
        """The versions of the records that the copy has."""
        rows = self.sink.rows.get(self.entity, {})
        return {key: msgspec.json.decode(row.raw)["version"] for (_, key), row in rows.items()}

    @property
    def watermark(self) -> datetime | None:
        return self.sink.watermarks.get(("acme", "toy", self.entity))
