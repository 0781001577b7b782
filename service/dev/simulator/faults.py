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

FailureKind = Literal["rate_limit", "error", "html", "hang", "half_body", "slow", "no_permission"]
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
]
FAILURES: frozenset[str] = frozenset(get_args(FailureKind))


class FaultSpec(BaseModel):
    """One fault. It ends after `requests` hits, after `seconds`, or when it is cleared.

    Of the failures, a request has the first one that matches; listings also have all the unkind ones that match.
    With `offset`, only requests for that offset match; it is 0 where a request names none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: FailureKind | UnkindKind
    org: str | None = None
    entity: str | None = None
    offset: NonNegativeInt | None = None
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

    def matches(self, org: str, entity: str, offset: int) -> bool:
        spec = self.spec
        return spec.org in (None, org) and spec.entity in (None, entity) and spec.offset in (None, offset)


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

    def clear(self) -> None:
        self._faults.clear()

    def in_force(self, now: float) -> list[FaultSpec]:
        self._faults = [fault for fault in self._faults if not fault.is_over(now)]
        return [fault.spec for fault in self._faults]

    def failure_for(self, org: str, entity: str, offset: int) -> FaultSpec | None:
        """The failure of this request: the first one that matches and whose probability is met."""
        failures = (fault for fault in self._faults if fault.spec.kind in FAILURES)
        return next(self._hits(failures, org, entity, offset), None)

    def changes_for(self, org: str, entity: str, offset: int) -> list[FaultSpec]:
        """The changes of this listing: all that match and whose probability is met."""
        changes = (fault for fault in self._faults if fault.spec.kind not in FAILURES)
        return list(self._hits(changes, org, entity, offset))

    def _hits(self, faults: Iterable[Fault], org: str, entity: str, offset: int) -> Iterator[FaultSpec]:
        for fault in faults:
            if fault.matches(org, entity, offset) and self._random.random() < fault.spec.probability:
                if fault.left is not None:
                    fault.left -= 1
                yield fault.spec
