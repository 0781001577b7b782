"""What a fault is."""

from abc import ABC, abstractmethod
from random import Random
from typing import ClassVar

from tests.chaos.system import System

ROLES = ("worker", "fetcher", "projector")


class Fault(ABC):
    """One thing that goes wrong and is put right again.

    `name` is for the report; `touches` are the parts that it holds, so that two at a time do not undo each
    other; `seconds` is how long it lasts, between the two. `random` draws its details: the same for the same seed.
    """

    name: ClassVar[str]
    touches: ClassVar[frozenset[str]]
    seconds: tuple[float, float] = (2.0, 6.0)
    needs: ClassVar[str] = ""  # the part of the system that must be able to: "disks" or "clocks"

    def __init__(self, random: Random) -> None:
        self.random = random
        self.what = ""  # the details, for the report

    @abstractmethod
    async def inject(self, system: System) -> None:
        """Make it go wrong."""

    async def heal(self, system: System) -> None:
        """Put it right, if it does not pass by itself. Safe to call once after `inject`, however far that got."""
        return

    @classmethod
    def why_not(cls, system: System) -> str:
        """Why it cannot be had here; nothing if it can."""
        return str(getattr(system, cls.needs).why_not) if cls.needs else ""


def variant(kind: type[Fault], name: str, **own: object) -> type[Fault]:
    """The same fault elsewhere: `own` are the class attributes that say where."""
    return type(name, (kind,), {"name": name, "__doc__": kind.__doc__, **own})


def of_each_role(kind: type[Fault], word: str) -> list[type[Fault]]:
    return [variant(kind, f"{word} {role}", role=role, touches=frozenset({role})) for role in ROLES]
