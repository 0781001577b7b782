"""A response's body: bounded as it travels and unpacked, whatever its length claims to be."""

import zlib
from io import BytesIO

BODY_BYTES_MAX = 32 * 1024 * 1024  # as it travels, and unpacked
MEMBERS_MAX = 1_000  # of a gzip file: each costs time, and may hold nothing
_GZIP = 31  # zlib's window bits for a gzip header and 32 KiB


class TooLong(Exception):
    """A body over a bound; the text says which."""


class Unreadable(Exception):
    """A response whose headers are no text, or whose body is not packed as they say."""


class Body:
    """The pieces received so far, unpacked."""

    def __init__(self, encoding: str) -> None:
        self._content = BytesIO()
        self._received = self._unpacked = 0  # bytes
        self._members = 0
        self._unpack: zlib._Decompress | None = None
        self._is_packed = encoding.strip().lower() not in ("", "identity")
        if self._is_packed and encoding.strip().lower() not in ("gzip", "x-gzip"):
            raise Unreadable("packed otherwise than asked for")  # the header's words may be secrets: not shown

    def add(self, piece: bytes) -> None:
        """TooLong, Unreadable."""
        self._received += len(piece)
        if self._received > BODY_BYTES_MAX:
            raise TooLong(f"a body of more than {BODY_BYTES_MAX} bytes")
        if not self._is_packed:
            self._content.write(piece)
            return
        while piece:  # a gzip file may have several members, one behind the other (RFC 1952, section 2.2)
            if self._unpack is None or self._unpack.eof:
                self._unpack = self._member()
            try:
                unpacked = self._unpack.decompress(piece, BODY_BYTES_MAX + 1 - self._unpacked)
            except zlib.error as error:
                raise Unreadable(str(error)) from None
            self._unpacked += self._content.write(unpacked)
            if self._unpacked > BODY_BYTES_MAX:
                raise TooLong(f"a body of more than {BODY_BYTES_MAX} bytes, unpacked")
            piece = self._unpack.unused_data

    def whole(self) -> bytes:
        """Unreadable if it was cut off."""
        if self._unpack is not None and not self._unpack.eof:
            raise Unreadable("packed, and not to its end")
        return self._content.getvalue()

    def _member(self) -> "zlib._Decompress":
        self._members += 1
        if self._members > MEMBERS_MAX:
            raise Unreadable(f"packed in more than {MEMBERS_MAX} members")
        return zlib.decompressobj(_GZIP)
