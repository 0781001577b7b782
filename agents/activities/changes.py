"""Changes: what a delta asks for, whether it got that, and from where on the next one reads. Pure."""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta

from agents.ledger import Changes
from agents.ports import LedgerLine, PageBody
from manifests.entity import DeltaRead, Entity

SECOND = timedelta(seconds=1)
_START = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class FilterIgnored(Exception):
    """The API answered with records that are older than what it was asked for."""


def is_older(body: PageBody, since: datetime) -> bool:
    """Whether the page shows a change of an earlier second. APIs filter by whole seconds."""
    return body.oldest is not None and body.oldest < since.replace(microsecond=0)


def is_walked_down(body: PageBody, delta: DeltaRead | None, since: datetime | None) -> bool:
    """Whether a walk from the newest change down has met what is older: nothing new follows."""
    return delta is not None and not delta.is_filtered and since is not None and is_older(body, since)


def changes_read(entity: Entity, since: datetime | None, lines: Collection[LedgerLine]) -> Changes | None:
    """What the pages of a complete run say; None where no next delta could begin behind it.

    A record may be changed while its page is read, and get a time before the one that the next page shows: so the
    earlier of both clocks counts, the request's and the records'. It is the same clock, but for what an API has in
    front of its database.
    """
    delta = entity.reads.delta
    asked = [line.extent.asked_at for line in lines if line.extent.asked_at is not None]
    newest = [line.extent.newest for line in lines if line.extent.newest is not None]
    if delta is None or not asked or not newest:
        return None
    first, last = _at(min(asked)), _at(max(newest))
    watermark = min(first, last) - delta.lookback_seconds * SECOND
    return Changes(_text(since) if since else "", _text(first), _text(last), _text(watermark), delta.lookback_seconds)


def microseconds(at: datetime | None) -> int | None:
    """Unix microseconds."""
    return None if at is None else (at - _START) // _MICROSECOND


def _at(micros: int) -> datetime:
    return _START + micros * _MICROSECOND


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
