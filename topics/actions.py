"""Actions: effects that a workflow asks an activity for, and their results. Any activity takes these two commands."""

from typing import Any, ClassVar, Literal

from pydantic import Field, JsonValue, model_validator

from topics.command import Command, Name, Number, Reason, Text
from topics.ids import connection_key

ACTION_BYTES_MAX = 32_000  # JSON of an action's input, and of its result; a longer one is rejected

ActionError = Literal["retryable", "rejected", "cancelled"]
Payload = dict[str, JsonValue]


def _from_version_1(fields: Any, payload: str) -> Any:
    """A message of version 1, whose only action closed a run, had the fields of the payload beside the others."""
    if not isinstance(fields, dict) or "step" in fields or "outcome" not in fields:
        return fields
    moved = {name: fields[name] for name in ("outcome", "pages", "records", "rejected") if name in fields}
    return {**fields, "step": fields["outcome"], payload: moved}


class RunAction(Command):
    """Run the activity `action` for a workflow's run and report its result. Keyed by connection.

    `step` names the unit of work within the run: the same step is the same work, whatever the attempt.
    """

    topic: ClassVar[str] = "run-action"
    version: ClassVar[int] = 2

    action: Name
    workflow: Text
    run: Number
    step: Text
    org: Name
    adapter: Name
    input: Payload = Field(default_factory=dict)
    attempt: Number = 1

    @model_validator(mode="before")
    @classmethod
    def _upgrade(cls, fields: Any) -> Any:
        return _from_version_1(fields, "input")

    @property
    def key(self) -> str:
        return connection_key(self.org, self.adapter)

    @property
    def identity(self) -> tuple[str, ...]:
        return (self.action, self.workflow, str(self.run), self.step, *_attempt(self.attempt))


class ActionComplete(Command):
    """What became of an attempt at an action: its result or, with `error`, why there is none.

    After a retryable error the next attempt may begin in `after_seconds`, if the other side named a time.
    """

    topic: ClassVar[str] = "action-complete"
    version: ClassVar[int] = 2

    workflow: Text
    run: Number
    action: Name
    step: Text
    attempt: Number = 1
    result: Payload = Field(default_factory=dict)
    error: ActionError | None = None
    reason: Reason = ""
    after_seconds: float | None = None

    @model_validator(mode="before")
    @classmethod
    def _upgrade(cls, fields: Any) -> Any:
        return _from_version_1(fields, "result")

    @property
    def key(self) -> str:
        return self.workflow

    @property
    def identity(self) -> tuple[str, ...]:
        return (self.action, self.workflow, str(self.run), self.step, *_attempt(self.attempt))


def _attempt(number: int) -> tuple[str, ...]:
    return (str(number),) if number > 1 else ()
