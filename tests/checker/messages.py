"""Messages on Kafka, read anew: whom they are for, their ids, results, dead letters' headers. Pure.

From docs/reference/topics.md: commands are JSON objects, fields at their defaults may be missing.
"""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, TypeVar

import msgspec

from tests.checker.values import Action, Letter, Origin

T = TypeVar("T")

LETTER_HEADER = "sluice-dead-"
ID_HEADER = "sluice-id"
NO_JSON = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def decoded(value: bytes | None, model: type[T]) -> T | None:
    """What a message says; None if it is nothing of the kind."""
    try:
        return msgspec.json.decode(value or b"", type=model)
    except NO_JSON:
        return None


def document(value: bytes | None) -> dict[str, Any]:
    """The JSON object in a message; empty if there is none."""
    return decoded(value, dict) or {}


def workflow_of(topic: str, value: bytes | None) -> str:
    """Whom a message of a control topic is for; "" if it says so to nobody."""
    found = document(value)
    if topic == "start-sync":
        names = [found.get(name) for name in ("org", "adapter", "type")]
        return sync_key(*map(str, names)) if all(isinstance(name, str) for name in names) else ""
    return str(found.get("workflow", ""))


def sync_key(org: str, adapter: str, type_: str) -> str:
    return f"main-sync:{org}:{adapter}:{type_}"


def derived_id(*parts: str) -> str:
    """BLAKE2b, 128 bits, over the parts, each behind its length as a big-endian 32-bit number; 32 hex digits."""
    digest = blake2b(digest_size=16)
    for part in parts:
        data = part.encode()
        digest.update(len(data).to_bytes(4, "big") + data)
    return digest.hexdigest()


def start_id(origin: Origin, value: bytes | None, stored_at: int = 0) -> str | None:
    """The id of a start-sync at `origin`; without a request id, the message itself is the request."""
    key = workflow_of("start-sync", value)
    request = document(value).get("request_id") or "/".join(map(str, (*origin, stored_at)))
    return derived_id("start-sync", key, str(request)) if key else None


def retry_id(workflow: str, request: str) -> str:
    return derived_id("control", "nudge", workflow, request)


def action_id(topic: str, action: Action) -> str:
    """The id of a run-action or an action-complete: the first attempt is not named."""
    attempt = (str(action.attempt),) if action.attempt > 1 else ()
    return derived_id(topic, action.action, action.workflow, str(action.run), action.step, *attempt)


def letter(
    partition: int, offset: int, key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes | None]]
) -> Letter:
    """A record of the dead-letter topic."""
    said = {name.removeprefix(LETTER_HEADER): (content or b"").decode(errors="replace") for name, content in headers}
    origin = (said.get("topic", ""), _number(said.get("partition")), _number(said.get("offset")))
    return Letter(partition, offset, origin, said.get("reason", ""), key, value, _forwarded(value))


def _number(text: str | None) -> int:
    return int(text) if text and text.isdigit() else -1


def _forwarded(value: bytes | None) -> Origin | None:
    """A start that was sent on to the partition of its workflow carries where it stood first as its request id."""
    topic, *numbers = str(document(value).get("request_id") or "").split("/")
    if len(numbers) == 3 and all(number.isdigit() for number in numbers):
        return topic, int(numbers[0]), int(numbers[1])
    return None
