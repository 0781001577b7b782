"""An answer of an API, and how its pieces become one."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass

BODY_BYTES_MAX = 32 * 1024 * 1024  # of a body, unpacked; a longer one is refused
MEMBERS_MAX = 1_000  # of a packed body; one of more is refused
_ANY_WRAPPER = 47  # zlib's own or gzip's, whichever the first bytes say
_NO_WRAPPER = -15


class Headers(dict[str, str]):
    """Names are kept in small letters and found in any case; of a header that comes twice the first one counts."""

    def get(self, name: str, default: str = "") -> str:  # type: ignore[override]  # never None
        return super().get(name.lower(), default)

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(name.lower())


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, whatever its status. The names in `headers` are found in any case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_page(self) -> bool:
        """It is what was asked for, and no error."""
        return 200 <= self.status < 300


class TooLong(Exception):
    """An answer over a bound; the text says which."""


class Unreadable(Exception):
    """A body that is not packed as its headers say."""


class Body:
    """Collects a body's pieces, unpacked."""

    def __init__(self, encoding: str) -> None:
        self._content: bytes | bytearray = b""
        self._encoding = encoding.strip().lower()
        self._is_packed = self._encoding not in ("", "identity")
        self._unpack: zlib._Decompress | None = None
        self._members = 0
        if self._is_packed and self._encoding not in ("gzip", "x-gzip", "deflate"):
            raise Unreadable("packed otherwise than asked for")  # the header's words are not ours to show

    def add(self, piece: bytes) -> None:
        """TooLong, Unreadable. What is packed may come in several members, one behind the other."""
        if not self._is_packed:
            return self._keep(piece)
        while piece:
            if self._unpack is None or self._unpack.eof:
                self._unpack = self._member(piece)
            try:
                unpacked = self._unpack.decompress(piece, BODY_BYTES_MAX + 1 - len(self._content))
            except zlib.error as error:
                raise Unreadable(str(error)) from None
            self._keep(unpacked)
            piece = self._unpack.unused_data
        return None

    def whole(self) -> bytes:
        """Unreadable if it was cut off."""
        if self._unpack is not None and not self._unpack.eof:
            raise Unreadable("packed, and not to its end")
        return bytes(self._content)  # no copy if it came in one piece

    def _keep(self, piece: bytes) -> None:
        """In one run of bytes: a server may send them one by one."""
        if len(self._content) + len(piece) > BODY_BYTES_MAX:
            raise TooLong(f"an answer of more than {BODY_BYTES_MAX} bytes")
        if not self._content:
            self._content = piece
        elif isinstance(self._content, bytearray):
            self._content += piece
        else:
            self._content = bytearray(self._content)
            self._content += piece

    def _member(self, piece: bytes) -> "zlib._Decompress":
        self._members += 1
        if self._members > MEMBERS_MAX:
            raise Unreadable(f"packed in more than {MEMBERS_MAX} members")
        is_bare = self._encoding == "deflate" and piece[0] & 0x0F != zlib.DEFLATED
        return zlib.decompressobj(_NO_WRAPPER if is_bare else _ANY_WRAPPER)
