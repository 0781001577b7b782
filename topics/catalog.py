"""The catalogue of topics: what each carries, how it is keyed, how long it is kept. A topic that is not here does not
exist. Shared topics stand here; each kind of workflow declares its own.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from topics.actions import ActionComplete, RunAction
from topics.command import CancelRun, Command, RetryNow, TimerDue

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
MESSAGE_RETENTION_MS = 7 * DAY_MS
DEAD_LETTER_RETENTION_MS = 30 * DAY_MS  # unless the installation's settings say otherwise
WORKFLOW_RETENTION_MS = 8 * DAY_MS  # of an ended workflow's record: longer than any message about it is kept
RECORD_BYTES_MAX = 900_000  # a record of any topic; Kafka's own default limit is 1,048,588
COMMAND_BYTES_MAX = 64_000  # a command; longer ones go to the dead letters
# How long a consumer's fetch may wait for records. aiokafka leaves a partition whose records wait for us longer than
# 0.1 s out of its next fetch; it must not be out for long.
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
    cleanup: Literal["delete", "compact"] = "delete"
    retention_ms: int | None = MESSAGE_RETENTION_MS

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


SHARED_TOPICS = (
    TopicSpec("control", "control", "workflow", "Between workflows, from timers, from operators."),
    TopicSpec("action-complete", "control", "workflow", "Fetchers report an action's result."),
    TopicSpec("run-action", "data", "connection", "Deciders ask for an action."),
    TopicSpec(CHANGELOG, "journal", "workflow", "The journal: every workflow's record, newest last.", "compact", None),
    TopicSpec(
        DEAD_LETTERS,
        "dead",
        "as it came",
        "Messages that can never be handled, as they came, with the reason in their headers.",
        retention_ms=DEAD_LETTER_RETENTION_MS,
    ),
)
SHARED_COMMANDS: tuple[type[Command], ...] = (CancelRun, RetryNow, TimerDue, RunAction, ActionComplete)


class Catalog:
    """Every topic of an installation, and the commands that each carries."""

    def __init__(self, topics: Iterable[TopicSpec], commands: Iterable[type[Command]]) -> None:
        """`topics` and `commands` are those of the kinds of workflows; what is shared is added."""
        self.topics: tuple[TopicSpec, ...] = (*topics, *SHARED_TOPICS)
        self.by_name: Mapping[str, TopicSpec] = {spec.name: spec for spec in self.topics}
        every = (*commands, *SHARED_COMMANDS)
        self.commands: Mapping[str, tuple[type[Command], ...]] = {
            spec.name: tuple(command for command in every if command.topic == spec.name) for spec in self.topics
        }
        self.control: tuple[str, ...] = tuple(spec.name for spec in self.topics if spec.plane == "control")
        self.request_topics: frozenset[str] = frozenset(command.topic for command in every if command.is_request)
        self.data: tuple[str, ...] = tuple(spec.name for spec in self.topics if spec.plane == "data")
