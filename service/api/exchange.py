"""The values of an exchange: a request, and what the API answered."""

from collections.abc import Mapping
from typing import Protocol

import msgspec


class Request(msgspec.Struct, frozen=True):
    """`name` is what errors call it, without secrets. One with a form is for a token."""

    name: str
    method: str
    url: str
    headers: Mapping[str, str]
    authorization: str | None = None
    form: Mapping[str, str] | None = None


class Headers(Protocol):
    """Names are found in any case; of a header that comes twice the first counts."""

    def get(self, name: str, default: str, /) -> str: ...


class Response(msgspec.Struct, frozen=True):
    """An answer, whatever its status; the body is unpacked."""

    status: int
    headers: Headers
    body: bytes

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300
