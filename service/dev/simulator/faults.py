"""Injected faults: their kinds, whom they affect, and how long they last."""

from dataclasses import dataclass
from random import Random
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveFloat, PositiveInt

from topics.errors import Rejected

FAULTS_MAX = 100
HANG_SECONDS_MAX = 3_600

FaultKind = Literal["rate_limit", "error", "html", "hang", "half_body", "slow", "no_permission"]


class FaultSpec(BaseModel):
    """One fault. It ends after `requests` hits, after `seconds`, or when it is cleared.

    rate_limit: 429. error: `status` with a JSON body. html: `status` with an HTML body. hang: no response until the
    client disconnects. half_body: the connection closes in the middle of the body. slow: the right response after
    `delay_ms`. no_permission: lists are empty with 200 and records are 404, as for a user without the permission.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: FaultKind
    org: str | None = None
    entity: str | None = None
    requests: PositiveInt | None = None
    seconds: PositiveFloat | None = None
    probability: Annotated[float, Field(gt=0, le=1)] = 1.0
    status: Annotated[int, Field(ge=500, le=599)] = 503
    delay_ms: Annotated[NonNegativeInt, Field(le=600_000)] = 1_000
    retry_after: Annotated[PositiveInt, Field(le=3_600)] = 1


@dataclass(slots=True)
class Fault:
    spec: FaultSpec
    left: int | None
    until: float | None

    def is_over(self, now: float) -> bool:
        return self.left == 0 or (self.until is not None and now >= self.until)

    def matches(self, org: str, entity: str) -> bool:
        return self.spec.org in (None, org) and self.spec.entity in (None, entity)


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

    def fault_for(self, org: str, entity: str, now: float) -> FaultSpec | None:
        """The fault of this request: the first one in force that matches and whose probability is met."""
        if not self._faults:
            return None
        self.in_force(now)
        for fault in self._faults:
            if fault.matches(org, entity) and self._random.random() < fault.spec.probability:
                if fault.left is not None:
                    fault.left -= 1
                return fault.spec
        return None
