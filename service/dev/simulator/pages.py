"""Cache of encoded pages, kept until something is written. Bounded in bytes; the oldest are dropped."""

from dataclasses import dataclass

CACHE_BYTES_MAX = 192 * 1024 * 1024
PAGE_OVERHEAD_BYTES = 600  # about the memory of a page beside its body

Key = tuple[str, str, bytes, bytes]  # organisation, path, query, the host that links name


@dataclass(frozen=True, slots=True)
class Page:
    """`name`: the path with the sorted query, by which it is counted; empty for a document that is not a page."""

    entity: str
    name: str
    body: bytes
    etag: bytes


class PageCache:
    def __init__(self, bytes_max: int = CACHE_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._bytes = 0
        self._pages: dict[Key, Page] = {}
        self._keys: dict[str, set[Key]] = {}  # of each organisation: a write must not look at the others' pages

    def find(self, key: Key) -> Page | None:
        return self._pages.get(key)

    def add(self, key: Key, page: Page) -> None:
        if key in self._pages:
            return
        self._pages[key] = page
        self._keys.setdefault(key[0], set()).add(key)
        self._bytes += len(page.body) + PAGE_OVERHEAD_BYTES
        while self._bytes > self._bytes_max:
            self._drop(next(iter(self._pages)))

    def forget(self, org: str) -> None:
        """Drop all pages of an organisation after a write."""
        for key in tuple(self._keys.get(org, ())):
            self._drop(key)

    def _drop(self, key: Key) -> None:
        self._keys[key[0]].discard(key)
        self._bytes -= len(self._pages.pop(key).body) + PAGE_OVERHEAD_BYTES
