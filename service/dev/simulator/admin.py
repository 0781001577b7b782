"""Administration of the simulator, under /_sim/: counters, writes, faults, and the expected content of a copy.

Not part of the simulated API: no credentials, no rate limit, not counted. GET: `counters` (org, entity),
`expected` (org, entity, hidden=include, ids=include, and what pages are requested with:
include=people.email:person;…), `faults`, `lives` (org, entity), `changes` (org). POST, with a JSON object: `insert`,
`edit`, `delete`, `merge`, `burst`, `move`, `life`, `clock`, `faults`, `faults/clear` (kind, org, entity; all, without
them); with nothing: `counters/reset`, `move/stop`, `life/stop`.

Kinds of `faults` that are failures (faults.FaultSpec says whom they hit, how often, how long):

- `rate_limit`: 429 with `retry_after` seconds, up to a week
- `error`, `html`: `status` with a JSON or an HTML body
- `hang`: no response until the client disconnects
- `half_body`: the connection closes in the middle of the body
- `slow`: the right response after `delay_ms`
- `no_permission`: lists are empty with 200, and records are 404, as for a user without the permission; with `on` it is
  `lists` alone or `records` alone
- `forbidden`, `unauthorized`, `not_found`: 403, 401, 404, with `on` as well

Kinds that make listings unkind; `size` is each one's own number, `offset` the page that has it, if not all:

- `capped_pages`: never more than `size` records, whatever per_page says; the next page begins behind them
- `short_page`: the first `size` records of the page only; links and total as they were
- `empty_page`: no records; links and total as they were (with `no_next` beside it: no link either)
- `missing_list`, `null_list`: the document is `{}`; its `data` is null
- `many_records`: `size` tiny records on one page, 2.2 million in 31 MB
- `ignores_offset`: page 1 whatever the offset, and a next page for ever
- `clamps_offset`: behind the end, the last page again
- `no_next`: neither link nor offset of a next page
- `link_cycle`: the next page of page `size` is page 1
- `links_elsewhere`: the next page is on another host
- `long_link`: the link to the next page is `size` characters longer, 1.2 million
- `no_total`, `over_claimed_total`: no total; `size` records too many in it
- `cursor`: the next page begins behind the last record, wherever that stands by then; no offsets
- `page_token`: the next page begins at an offset, hidden in a token
- `unlisted`: `size` of each hundred records are in no list and no total, though each is served at its own address
- `ignores_filters`, `ignores_order`: the listing is as without `where` and `filter`; as without `order`

`move` lets records of an entity come, change and go by themselves (moves.MoveSpec), `life` those of all entities, with
merges, invisible and late changes (rates.LifeSpec). `burst` gives many rows one time. `clock` has the API's clock run
`seconds` ahead, or behind, in `Date` and in the times of records.

`changes` has what a delta cannot see: the ids of `deleted` records by entity, what each `merged` person was merged
into, and by entity the number of `invisible` changes, with the records whose updated_at has not moved since. `lives`
has, for each record that is there or was there: its birth and its death (Unix seconds; null: before the first one, not
yet), and the clock's times of now, `now` and `monotonic`, by which a reader converts them.
"""

from collections.abc import Callable, Mapping
from datetime import timedelta
from urllib.parse import parse_qsl

from service.clock import Clock
from service.dev.simulator.catalog import ENTITIES, known
from service.dev.simulator.counters import Counters
from service.dev.simulator.draw import written
from service.dev.simulator.expected import expected
from service.dev.simulator.faults import Faults, FaultSpec
from service.dev.simulator.moves import Moves, MoveSpec
from service.dev.simulator.orders import Burst, Cleared, ClockError, Delete, Edit, Insert, Merge, read_order
from service.dev.simulator.pages import PageCache
from service.dev.simulator.rates import LifeSpec
from service.dev.simulator.responses import Response, json
from service.dev.simulator.store import Organisation
from service.dev.simulator.writes import PERSON, Writes
from topics.errors import Rejected

PREFIX = "/_sim/"
PARAMETERS_MAX = 20


class Admin:
    """Responses to requests under PREFIX."""

    def __init__(
        self,
        orgs: Mapping[str, Organisation],
        counters: Counters,
        faults: Faults,
        cache: PageCache,
        moves: Moves,
        clock: Clock,
    ) -> None:
        self._orgs = orgs
        self._counters = counters
        self._faults = faults
        self._cache = cache
        self._moves = moves
        self._clock = clock
        self._routes: dict[tuple[str, str], Callable[[dict[str, str], bytes], object]] = {
            ("GET", "counters"): self._report,
            ("POST", "counters/reset"): self._reset,
            ("GET", "expected"): self._expected,
            ("GET", "faults"): self._list_faults,
            ("POST", "faults"): self._add_fault,
            ("POST", "faults/clear"): self._clear_faults,
            ("POST", "insert"): self._insert,
            ("POST", "edit"): self._edit,
            ("POST", "delete"): self._delete,
            ("POST", "merge"): self._merge,
            ("POST", "move"): self._move,
            ("POST", "move/stop"): self._stop_moves,
            ("GET", "lives"): self._report_lives,
            ("POST", "life"): self._live,
            ("POST", "life/stop"): self._stop_lives,
            ("GET", "changes"): self._report_changes,
            ("POST", "burst"): self._burst,
            ("POST", "clock"): self._set_clock,
        }

    def respond(self, method: str, path: str, query: str, body: bytes) -> Response:
        """400 with `{"error": sentence}` for an invalid request."""
        route = self._routes.get((method, path.removeprefix(PREFIX)))
        if route is None:
            known = ", ".join(f"{method} {PREFIX}{name}" for method, name in self._routes)
            return json(404, {"error": f"no such page; there are: {known}"})
        try:
            return json(200, route(dict(parse_qsl(query, max_num_fields=PARAMETERS_MAX)), body))
        except (Rejected, ValueError) as error:
            return json(400, {"error": str(error)})

    def _report(self, query: dict[str, str], body: bytes) -> object:
        return self._counters.report(query.get("org"), query.get("entity"))

    def _reset(self, query: dict[str, str], body: bytes) -> object:
        self._counters.reset()
        return {}

    def _expected(self, query: dict[str, str], body: bytes) -> object:
        org = self._org(query.get("org", ""))
        names = [known(query["entity"]).name] if "entity" in query else list(ENTITIES)
        include = dict(_including(each) for each in query.get("include", "").split(";") if each)
        with_hidden = query.get("hidden") == "include"
        with_ids = query.get("ids") == "include"
        return {"org": org.name, "entities": expected(org, names, with_hidden, include, with_ids)}

    def _list_faults(self, query: dict[str, str], body: bytes) -> object:
        specs = self._faults.in_force(self._clock.monotonic())
        return {"faults": [spec.model_dump(exclude_none=True) for spec in specs]}

    def _add_fault(self, query: dict[str, str], body: bytes) -> object:
        self.add_fault(read_order(FaultSpec, body))
        return {}

    def add_fault(self, spec: FaultSpec) -> None:
        if spec.org is not None:
            self._org(spec.org)
        if spec.entity is not None:
            known(spec.entity)
        self._faults.add(spec, self._clock.monotonic())

    def _clear_faults(self, query: dict[str, str], body: bytes) -> object:
        self._faults.clear(**dict(read_order(Cleared, body or b"{}")))
        return {}

    def _insert(self, query: dict[str, str], body: bytes) -> object:
        request = read_order(Insert, body)
        org, entity = self._org(request.org), known(request.entity)
        record = self._writes(org).insert(entity, request.parent, request.attributes, request.relationships)
        return {"id": record.id, "path": org.path(entity, record)}

    def _edit(self, query: dict[str, str], body: bytes) -> object:
        request = read_order(Edit, body)
        org, entity = self._org(request.org), known(request.entity)
        writes = self._writes(org)
        record = writes.edit(entity, request.id, request.attributes, request.relationships, request.touch)
        return {"id": record.id, "path": org.path(entity, record)}

    def _delete(self, query: dict[str, str], body: bytes) -> object:
        request = read_order(Delete, body)
        return {"deleted": self._writes(self._org(request.org)).delete(known(request.entity), request.id)}

    def _merge(self, query: dict[str, str], body: bytes) -> object:
        request = read_order(Merge, body)
        return {"id": self._writes(self._org(request.org)).merge(request.keep, request.remove).id}

    def _move(self, query: dict[str, str], body: bytes) -> object:
        spec = read_order(MoveSpec, body)
        self._moves.start(spec, self._org(spec.org), known(spec.entity))
        return {}

    def _stop_moves(self, query: dict[str, str], body: bytes) -> object:
        return {"orgs": self._moves.stop()}

    def _report_lives(self, query: dict[str, str], body: bytes) -> object:
        org, entity = self._org(query.get("org", "")), known(query.get("entity", ""))
        times = {"now": self._clock.now().timestamp(), "monotonic": self._clock.monotonic()}
        return times | {"records": org.lives.of(entity.name, org.records(entity.name))}

    def _burst(self, query: dict[str, str], body: bytes) -> object:
        order = read_order(Burst, body)
        org, entity = self._org(order.org), known(order.entity)
        writes, at = self._writes(org), {} if order.at is None else {"updated_at": written(order.at)}
        if not order.insert:
            ids = list(org.records(entity.name))[: order.rows]
            return {"ids": [writes.edit(entity, id, at, {}, is_touched=True).id for id in ids]}
        created = {"created_at": at["updated_at"]} if at else {}
        stamps = {name: value for name, value in (at | created).items() if name in entity.attributes}
        return {"ids": [writes.insert(entity, "", stamps, {}).id for _ in range(order.rows)]}

    def _set_clock(self, query: dict[str, str], body: bytes) -> object:
        order = read_order(ClockError, body)
        for name in self._orgs if order.org is None else (order.org,):
            self._org(name).clock_error = timedelta(seconds=order.seconds)
        return {}

    def _live(self, query: dict[str, str], body: bytes) -> object:
        spec = read_order(LifeSpec, body)
        self._moves.begin(spec, self._org(spec.org))
        return {}

    def _stop_lives(self, query: dict[str, str], body: bytes) -> object:
        return {"orgs": self._moves.end()}

    def _report_changes(self, query: dict[str, str], body: bytes) -> object:
        org = self._org(query.get("org", ""))
        deleted = {name: org.lives.ended(name) for name in ENTITIES}
        deleted[PERSON] = [id for id in deleted[PERSON] if id not in org.traces.merged]
        return {
            "deleted": {name: ids for name, ids in deleted.items() if ids},
            "merged": org.traces.merged,
            "invisible": {name: found for name in ENTITIES if (found := org.traces.invisible(name))["changes"]},
        }

    def _writes(self, org: Organisation) -> Writes:
        """The writes of now. The cache forgets before them: nothing is served until they are done."""
        self._cache.forget(org.name)
        return Writes(org, self._clock.now())

    def _org(self, name: str) -> Organisation:
        """The organisation, as it is by now."""
        if name not in self._orgs:
            raise Rejected(f"there is no organisation {name!r}; there are: {', '.join(list(self._orgs)[:10])}")
        self._moves.catch_up(name)
        return self._orgs[name]


def _including(text: str) -> tuple[str, str]:
    """`people.email:person`: an entity, and what its pages are requested with."""
    name, _, include = text.partition(":")
    return known(name).name, include
