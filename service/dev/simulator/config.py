"""Configuration of a simulator: its organisations, their size, its behaviour."""

from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, StringConstraints

from service.dev.simulator.faults import FaultSpec
from service.dev.simulator.rates import LifeRates

ORGS_MAX = 1_000
PEOPLE_MAX = 200_000
CLOCK_ERROR_SECONDS_MAX = 10 * 365 * 86_400.0
Scope = Literal["people", "groups", "giving", "services", "check_ins", "calendar"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
OrgName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]


class SimulatorConfig(BaseModel):
    """The same organisations, people and seed give the same data in every process."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535, description="0: any free port")] = 8765
    orgs: Annotated[tuple[OrgName, ...], Field(min_length=1, max_length=ORGS_MAX)] = ("org-1",)
    people: Annotated[int, Field(ge=1, le=PEOPLE_MAX, description="Persons in each organisation")] = 200
    seed: int = 1
    rate_limit: bool = True
    rate_requests: PositiveInt = 100
    rate_seconds: PositiveInt = 20
    rate_requests_deep: Annotated[PositiveInt, Field(description="The limit where offset > 30,000")] = 75
    rate_period: Annotated[
        Literal["number", "words"], Field(description="The period header says `20` or `20 seconds`; both were seen")
    ] = "number"
    latency_ms: Annotated[int, Field(ge=0, le=60_000)] = 0
    scopes: Annotated[tuple[Scope, ...], Field(description="Products that OAuth tokens are for")] = SCOPES
    token_seconds: Annotated[PositiveInt, Field(description="The lifetime of an OAuth access token")] = 7_200
    included_when_empty: Annotated[bool, Field(description="Some recordings have an empty `included`, some none")] = (
        True
    )
    life: Annotated[LifeRates, Field(description="What happens by itself from the start on")] = LifeRates()
    clock_error_seconds: Annotated[
        float,
        Field(ge=-CLOCK_ERROR_SECONDS_MAX, le=CLOCK_ERROR_SECONDS_MAX, description="How far the API's clock is ahead"),
    ] = 0.0
    faults: Annotated[tuple[FaultSpec, ...], Field(description="What is wrong from the start on")] = ()
    journal: Annotated[Path | None, Field(description="A file that outlives the process: each page served")] = None
