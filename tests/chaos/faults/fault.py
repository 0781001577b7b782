"""What a fault is."""

from abc import ABC, abstractmethod
from random import Random
from typing import ClassVar

from tests.chaos.system import System


class Fault(ABC):
    """One thing that goes wrong and is put right again.

    `name` is for the report; `touches` are the parts that it holds, so that two at a time do not undo each
    other; `seconds` is how long it lasts, between the two. `random` draws its details: the same for the same seed.
    """

    name: ClassVar[str]
    touches: ClassVar[frozenset[str]]
    seconds: tuple[float, float] = (2.0, 6.0)

    def __init__(self, random: Random) -> None:
        self.random = random
        self.what = ""  # the details, for the report

    @abstractmethod
    async def inject(self, system: System) -> None:
        """Make it go wrong."""

    @abstractmethod
    async def heal(self, system: System) -> None:
        """Put it right. Safe to call once after `inject`, however far that got."""

    @classmethod
    def why_not(cls, system: System) -> str:
        """Why it cannot be had here; nothing if it can."""
        return ""
