"""What activities need from an API: one page."""

from dataclasses import dataclass
from typing import Protocol

from agents.ports import Parent
from agents.records.reader import PageBody
from manifests.entity import Adapter, Entity


@dataclass(frozen=True, slots=True)
class FetchRequest:
    """A page of an entity: by its number, or by the link that the page before named; under a parent where it has one.

    `workflow` and `run` say whose it is, for the log and for traces.
    """

    org: str
    adapter: Adapter
    entity: Entity
    page: int
    link: str | None = None
    parent: Parent | None = None


class Source(Protocol):
    async def fetch(self, ask: FetchRequest) -> PageBody | None:
        """The page, read and typed. None: the parent it stands under is gone.

        Waits for the connection's budget and its turn, and tries again for a while. Raises Retryable when that was
        not enough, Rejected when the API will never answer this.
        """
        ...
