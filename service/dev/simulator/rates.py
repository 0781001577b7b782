"""Rates at which an organisation changes by itself."""

from collections.abc import Iterator
from itertools import count
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PositiveInt

RATE_MAX = 2_000.0
LATE_SECONDS_MAX = 3_600.0
BURST_ROWS_MAX = 10_000

Rate = Annotated[float, Field(ge=0, le=RATE_MAX)]
ChangeKind = Literal["burst", "delete", "edit", "insert", "invisible", "merge"]
K = TypeVar("K", bound=str)


class LifeRates(BaseModel):
    """Changes of any record of the entities, each with what it entails: a delete takes the records below, a merge moves
    them and leaves a PersonMerger. Each fourth merge removes the person that was merged into last.

    Invisible changes do not move updated_at: a primary email address, phone number or address that stops being primary;
    a person who joins or leaves a household; counts; and the content of any record.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    inserts_per_second: Rate = 0.0
    edits_per_second: Rate = 0.0
    deletes_per_second: Rate = 0.0
    merges_per_second: Rate = 0.0
    invisible_per_second: Rate = 0.0
    bursts_per_second: Annotated[Rate, Field(description="Edits of many records with one updated_at")] = 0.0
    burst_rows: Annotated[PositiveInt, Field(le=BURST_ROWS_MAX)] = 250
    late_seconds: Annotated[
        float, Field(ge=0, le=LATE_SECONDS_MAX, description="How long after its updated_at a late change shows")
    ] = 0.0
    late_share: Annotated[float, Field(ge=0, le=1, description="The share of the changes that are late")] = 1.0
    entities: Annotated[tuple[str, ...], Field(description="What changes; all, if it is empty")] = ()

    @property
    def by_kind(self) -> dict[ChangeKind, float]:
        return {
            "burst": self.bursts_per_second,
            "delete": self.deletes_per_second,
            "edit": self.edits_per_second,
            "insert": self.inserts_per_second,
            "invisible": self.invisible_per_second,
            "merge": self.merges_per_second,
        }


class LifeSpec(LifeRates):
    """It ends after `seconds`, or when it is stopped."""

    org: str
    seconds: Annotated[float | None, Field(gt=0)] = None
    seed: int = 1


def times(kind: K, rate: float) -> Iterator[tuple[float, K]]:
    """Seconds since the start, without end; none at a rate of 0."""
    return ((number / rate, kind) for number in count(1)) if rate else iter(())
