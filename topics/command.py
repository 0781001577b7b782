"""Commands: frozen models of what processes send each other over Kafka. Knows no kind of workflow.

A command's key decides its partition, and so the process that handles it; its identity decides its id. Time is not part
of a command: deciders take it from the record that carried the command (the broker's clock).
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from topics.errors import shortened
from topics.ids import NAME_PATTERN, derive_id

COUNT_MAX = 2**53 - 1  # the largest integer that every JSON reader and every database represents exactly


def _storable(reason: str) -> str:
    return shortened(reason).replace("\0", "\ufffd").encode(errors="replace").decode()


Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
Text = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$")]  # PostgreSQL takes no NUL
RequestId = Annotated[Text, StringConstraints(min_length=1, max_length=200)]
Reason = Annotated[str, AfterValidator(_storable)]
Count = Annotated[int, Field(ge=0, le=COUNT_MAX)]
Number = Annotated[int, Field(ge=1, le=COUNT_MAX)]
RunOutcome = Literal["done", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class Counts:
    """Pages, records stored as rows, and records rejected: of a page, a lease, a run or several of them."""

    pages: Count = 0
    records: Count = 0
    rejected: Count = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(self.pages + other.pages, self.records + other.records, self.rejected + other.rejected)


NO_COUNTS = Counts()


class Command(BaseModel):
    """A message with a fixed topic. Tolerant with machines: fields of a newer version are ignored.

    `identified_by`: the properties that its id is computed from. `is_request`: it comes from outside the engine, and
    the same id is handled once (tables.requests).
    """

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)

    topic: ClassVar[str]
    version: ClassVar[int] = 1
    identified_by: ClassVar[tuple[str, ...]] = ()
    is_request: ClassVar[bool] = False

    @property
    def key(self) -> str:
        raise NotImplementedError

    @property
    def identity(self) -> tuple[str, ...]:
        values = [getattr(self, name) for name in self.identified_by]
        return tuple("" if value is None else str(value) for value in values)

    @property
    def id(self) -> str:
        return derive_id(self.topic, *self.identity)

    def named_after(self, message: str) -> Self:
        """The command with the message's position as its request id, if it takes one and has none."""
        return self


class Control(Command):
    """A command to a workflow from another one, from a timer or from an operator. Keyed by the workflow it is for."""

    topic: ClassVar[str] = "control"

    workflow: Text

    @property
    def key(self) -> str:
        return self.workflow


class CancelRun(Control):
    """End a run where it is; what is committed stays, and nothing more is written under it."""

    identified_by: ClassVar[tuple[str, ...]] = ("kind", "workflow", "run")

    kind: Literal["cancel-run"] = "cancel-run"
    run: Number
    reason: Reason


class RetryNow(Control):
    """An operator asks a workflow, and whatever it waits for, to retry at once instead of at its deadline.

    The same `request_id` twice is one retry.
    """

    identified_by: ClassVar[tuple[str, ...]] = ("kind", "workflow", "request_id")
    is_request: ClassVar[bool] = True

    kind: Literal["nudge"] = "nudge"
    request_id: RequestId


class TimerDue(Control):
    """A deadline of the workflow has passed. `due` (Unix ms) distinguishes an old timer from the current one."""

    identified_by: ClassVar[tuple[str, ...]] = ("kind", "workflow", "due")

    kind: Literal["timer-due"] = "timer-due"
    due: Number
