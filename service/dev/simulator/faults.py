"""Injected faults: their kinds, whom they affect, and how long they last."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveFloat, PositiveInt

from topics.errors import Rejected

FAULTS_MAX = 100
HANG_SECONDS_MAX = 3_600

RETRY_AFTER_SECONDS_MAX = 7 * 86_400
SIZE_MAX = 10_000_000

FailureKind = Literal[
    "rate_limit",
    "error",
    "html",
    "hang",
    "half_body",
    "slow",
    "no_permission",
    "forbidden",
    "unauthorized",
    "not_found",
]
UnkindKind = Literal[
    "capped_pages",
    "short_page",
    "empty_page",
    "missing_list",
    "null_list",
    "many_records",
    "ignores_offset",
    "clamps_offset",
    "no_next",
    "link_cycle",
    "links_elsewhere",
    "long_link",
    "no_total",
    "over_claimed_total",
    "cursor",
    "page_token",
    "unlisted",
    "ignores_filters",
    "ignores_order",
]
Place = Literal["all", "lists", "records"]
FAILURES: frozenset[str] = frozenset(get_args(FailureKind))


class FaultSpec(BaseModel):
    """One fault. It ends after `requests` hits, after `seconds`, or when it is cleared.

    Of the failures, a request has the first one that matches; listings also have all the unkind ones that match.
    With `offset`, only requests for that offset match; it is 0 where a request names none. `on`: whether failures hit
    lists, the addresses of single records, or both; the address of a parent's only record is both.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: FailureKind | UnkindKind
    org: str | None = None
    entity: str | None = None
    offset: NonNegativeInt | None = None
    on: Place = "all"
    requests: PositiveInt | None = None
    seconds: PositiveFloat | None = None
    probability: Annotated[float, Field(gt=0, le=1)] = 1.0
    status: Annotated[int, Field(ge=500, le=599)] = 503
    delay_ms: Annotated[NonNegativeInt, Field(le=600_000)] = 1_000
    retry_after: Annotated[PositiveInt, Field(le=RETRY_AFTER_SECONDS_MAX)] = 1
    size: Annotated[PositiveInt | None, Field(le=SIZE_MAX, description="Of an unkind listing: see its kind")] = None


@dataclass(slots=True)
class Fault:
    spec: FaultSpec
    left: int | None
    until: float | None

    def is_over(self, now: float) -> bool:
        return self.left == 0 or (self.until is not None and now >= self.until)

    def matches(self, org: str, entity: str, offset: int, place: Place) -> bool:
        spec = self.spec
        is_there = place == "all" or spec.on in ("all", place)
        return is_there and spec.org in (None, org) and spec.entity in (None, entity) and spec.offset in (None, offset)


class Faults:
    """The faults in force. `now` is monotonic seconds; the same seed gives the same random choices."""

    def __init__(self, seed: int) -> None:
        self._faults: list[Fault] = []
        self._random = Random(f"{seed}/faults")

    def add(self, spec: FaultSpec, now: float) -> None:
        if len(self._faults) >= FAULTS_MAX:
            raise Rejected(f"there are {FAULTS_MAX} faults in force already; clear some first")
        until = None if spec.seconds is None else now + spec.seconds
        self._faults.append(Fault(spec, spec.requests, until))

    def clear(self, kind: str | None = None, org: str | None = None, entity: str | None = None) -> None:
        """Clear those of this kind, for this organisation, for this entity; whatever is None is any."""
        self._faults = [
            fault
            for fault in self._faults
            if kind not in (None, fault.spec.kind)
            or org not in (None, fault.spec.org)
            or entity not in (None, fault.spec.entity)
        ]

    def in_force(self, now: float) -> list[FaultSpec]:
        self._faults = [fault for fault in self._faults if not fault.is_over(now)]
        return [fault.spec for fault in self._faults]

    def failure_for(self, org: str, entity: str, offset: int, place: Place) -> FaultSpec | None:
        """The failure of this request: the first one that matches and whose probability is met."""
        failures = (fault for fault in self._faults if fault.spec.kind in FAILURES)
        return next(self._hits(failures, org, entity, offset, place), None)

    def changes_for(self, org: str, entity: str, offset: int) -> list[FaultSpec]:
        """The changes of this listing: all that match and whose probability is met."""
        changes = (fault for fault in self._faults if fault.spec.kind not in FAILURES)
        return list(self._hits(changes, org, entity, offset, "lists"))

    def _hits(self, faults: Iterable[Fault], org: str, entity: str, offset: int, place: Place) -> Iterator[FaultSpec]:
        for fault in faults:
            if fault.matches(org, entity, offset, place) and self._random.random() < fault.spec.probability:
                if fault.left is not None:
                    fault.left -= 1
                yield fault.spec
