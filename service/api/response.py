"""The value of an API's answer."""

from dataclasses import dataclass
from typing import Protocol


class Headers(Protocol):
    """Names are found in any case; of a header that comes twice the first counts."""

    def get(self, name: str, default: str, /) -> str: ...


@dataclass(frozen=True, slots=True)
class Response:
    """An answer, whatever its status; the body is unpacked."""

    status: int
    headers: Headers
    body: bytes

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300
