"""Commands of a counter. Its key has no connection in it, so that a child mostly lives in another partition."""

from typing import ClassVar, Literal, Self

from topics.catalog import TopicSpec
from topics.command import Command, Control, Name, Number, RequestId
from topics.ids import KeyPattern

KEY = KeyPattern("counter", ("org", "name"))
TOPICS = (TopicSpec("start-counter", "control", "workflow", "People request a count."),)


class StartCounter(Command):
    """Count to `target`, one step every `every_ms`; then let `child`, if any, do the same, and record the result."""

    topic: ClassVar[str] = "start-counter"
    identified_by: ClassVar[tuple[str, ...]] = ("key", "request_id")
    is_request: ClassVar[bool] = True

    org: Name
    name: Name
    target: Number
    every_ms: Number
    child: Name | None = None
    request_id: RequestId | None = None

    @property
    def key(self) -> str:
        return KEY.key(self.org, self.name)

    def named_after(self, message: str) -> Self:
        return self if self.request_id is not None else self.model_copy(update={"request_id": message})


class CountForParent(Control):
    """A counter asks its child to count, too."""

    identified_by: ClassVar[tuple[str, ...]] = ("kind", "workflow", "parent", "parent_run")

    kind: Literal["count-for-parent"] = "count-for-parent"
    parent: str
    parent_run: Number
    target: Number
    every_ms: Number


class Counted(Control):
    """A child has counted to its target; to its parent."""

    identified_by: ClassVar[tuple[str, ...]] = ("kind", "workflow", "parent_run")

    kind: Literal["counted"] = "counted"
    parent_run: Number


COMMANDS = (StartCounter, CountForParent, Counted)
