"""Every topic: what it carries, how it is keyed, how long it is kept. A topic that is not here does not exist."""

from dataclasses import dataclass
from typing import Literal

from topics.commands import (
    ActionComplete,
    CancelRun,
    ChildDone,
    Command,
    FetchPages,
    FinishRun,
    PageDone,
    RetryNow,
    StaleRun,
    StartEntity,
    StartSync,
    TimerDue,
)

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
RECORD_BYTES_MAX = 900_000  # a record of any topic; Kafka's own default limit is 1,048,588
COMMAND_BYTES_MAX = 64_000  # a command; longer ones go to the dead letters
# How long a consumer's fetch may wait for records. A partition whose records wait for us longer than 0.1 s is left out
# of the next fetch (aiokafka's way); it must not be out for long.
FETCH_WAIT_MS = 50
APP_ID = "sluice"
TABLE = "workflows"
CHANGELOG = f"{APP_ID}-{TABLE}-changelog"
DEAD_LETTERS = "dead-letters"

Plane = Literal["control", "data", "journal", "dead"]


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """One topic. `control` topics and the journal share one partition count with the table, for ever."""

    name: str
    plane: Plane
    keyed_by: str
    meaning: str
    commands: tuple[type[Command], ...] = ()
    cleanup: Literal["delete", "compact"] = "delete"
    retention_ms: int | None = 7 * DAY_MS

    @property
    def config(self) -> dict[str, str]:
        """Broker settings that `sluice topics` creates and checks.

        The broker stamps the time (LogAppendTime): deciders live by one clock, and a client with a wrong one can
        do no harm.
        """
        config = {"cleanup.policy": self.cleanup, "message.timestamp.type": "LogAppendTime"}
        if self.retention_ms is not None:
            config["retention.ms"] = str(self.retention_ms)
        return config


TOPICS: tuple[TopicSpec, ...] = (
    TopicSpec("start-sync", "control", "workflow", "People and programs ask for a sync.", (StartSync,)),
    TopicSpec(
        "control",
        "control",
        "workflow",
        "Between workflows, from timers, from operators.",
        (StartEntity, ChildDone, CancelRun, RetryNow, StaleRun, TimerDue),
    ),
    TopicSpec("page-done", "control", "workflow", "Fetchers tell what a lease committed.", (PageDone,)),
    TopicSpec("action-complete", "control", "workflow", "Fetchers tell an action's effect.", (ActionComplete,)),
    TopicSpec("fetch-page", "data", "connection", "Deciders lease pages to fetchers.", (FetchPages,)),
    TopicSpec("run-action", "data", "connection", "Deciders ask for an effect.", (FinishRun,)),
    TopicSpec(
        CHANGELOG,
        "journal",
        "workflow",
        "The journal: every workflow's record, newest last.",
        cleanup="compact",
        retention_ms=None,
    ),
    TopicSpec(
        DEAD_LETTERS,
        "dead",
        "as it came",
        "Messages that can never be handled, as they came, with the reason in their headers.",
        retention_ms=30 * DAY_MS,
    ),
)

BY_NAME: dict[str, TopicSpec] = {spec.name: spec for spec in TOPICS}
CONTROL_TOPICS: tuple[str, ...] = tuple(spec.name for spec in TOPICS if spec.plane == "control")
DATA_TOPICS: tuple[str, ...] = tuple(spec.name for spec in TOPICS if spec.plane == "data")
