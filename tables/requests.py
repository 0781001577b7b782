"""The request log of a workflow: which requests from outside it had, so that none is handled twice.

Records of their own beside the workflow's, since they grow with the requests and not with the work: one for each of the
last SLOTS days, each taking the place of the one a week before. They are written before the workflow's record, and
leave the table with it.
"""

import msgspec

from tables.row import HEAD
from topics.catalog import DAY_MS, MESSAGE_RETENTION_MS
from topics.errors import Broken, Rejected, shortened

REQUESTS_MAX = 1_000  # of one workflow and day; one more is rejected
SLOTS = MESSAGE_RETENTION_MS // DAY_MS + 1  # as long as Kafka may deliver a request again
ID_CHARS = 16  # of a command's id: 64 bits distinguish some thousand requests
REJECTION_CHARS = 100
PREFIX = "request-log:"


class LoggedRequest(msgspec.Struct, frozen=True, array_like=True):
    """A request: its shortened id and the position of its message.

    `position` is TOPIC@OFFSET/TIME, empty for one that another workflow passed on. `rejection` is why it was rejected,
    empty if it was accepted.
    """

    id: str
    position: str
    rejection: str = ""


class RequestLog(msgspec.Struct, frozen=True, omit_defaults=True):
    """The requests of one day (in UTC, counted from 1970), the oldest first. `epoch` and `seq` as of a workflow."""

    version: int = 1
    epoch: int = 0
    seq: int = 0
    day: int = 0
    requests: tuple[LoggedRequest, ...] = ()

    def is_duplicate(self, request: str, position: str) -> bool:
        """Whether the request was accepted before, from another message.

        The same message again is no duplicate: a crash may have lost the record that should have followed.
        """
        accepted = [one for one in self.requests if one.id == request[:ID_CHARS] and not one.rejection]
        return any(one.position != position or not position for one in accepted)

    def find(self, request: str, position: str) -> LoggedRequest | None:
        """The request of this message; None if the log does not have it."""
        place = (request[:ID_CHARS], position)
        return next((one for one in self.requests if (one.id, one.position) == place), None)

    def adding(self, request: str, position: str, at: int, epoch: int, rejection: str = "") -> "RequestLog":
        """With a request more, which came at `at` (Unix ms); Rejected if there are REQUESTS_MAX of its day already.

        Requests of another day are a week old, and forgotten.
        """
        entry = LoggedRequest(request[:ID_CHARS], position, shortened(rejection, REJECTION_CHARS))
        day, place = day_of(at), (entry.id, entry.position)
        kept = tuple(one for one in self.requests if day == self.day and (one.id, one.position) != place)
        if len(kept) >= REQUESTS_MAX:
            raise Rejected(f"the workflow has had {REQUESTS_MAX:,} requests on one day, the most that are remembered")
        seq = self.seq + 1 if self.seq else at
        return RequestLog(self.version, max(self.epoch, epoch), seq, day, (*kept, entry))


_ENCODE = msgspec.json.Encoder().encode
_DECODE = msgspec.json.Decoder(RequestLog).decode


def day_of(at: int) -> int:
    """The day of `at` (Unix ms), as request logs count them."""
    return at // DAY_MS


def slot_of(at: int) -> int:
    return day_of(at) % SLOTS


def log_key(workflow: str, slot: int) -> bytes:
    """The table's key of a workflow's request log."""
    return f"{PREFIX}{slot}:{workflow}".encode()


def is_request_log(key: bytes) -> bool:
    return key.startswith(PREFIX.encode())


def encode_requests(log: RequestLog) -> bytes:
    return HEAD.pack(log.epoch, log.seq, 0) + _ENCODE(log)


def decode_requests(value: bytes) -> RequestLog:
    """The request log in `value`; Broken if it is none."""
    try:
        return _DECODE(memoryview(value)[HEAD.size :])
    except msgspec.DecodeError as error:
        raise Broken(f"a request log cannot be read: {error}") from None
