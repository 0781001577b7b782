"""The Source of agents.activities on HTTP: from a page that is asked for to its rows."""

import asyncio
from collections.abc import Callable, Generator
from functools import lru_cache, partial

from msgspec.structs import replace

from agents import concurrency
from agents.ports import Cut, FetchRequest, PageBody
from agents.records.document import WHOLE_BYTES_MAX
from agents.records.reader import reading
from manifests.entity import AdapterFile, Entity
from service.api.client import ApiClient, Asked
from service.api.connections import Connections
from service.api.errors import Gone
from service.api.requests import check_next, page_request

CONNECTIONS_REMEMBERED_MAX = 10_000  # the least recently used is looked up again


class ApiSource:
    """Pages of every organisation's APIs, as the connections file says how to reach them."""

    def __init__(self, client: ApiClient, connections: Connections) -> None:
        self._client = client
        self._find = lru_cache(maxsize=CONNECTIONS_REMEMBERED_MAX)(connections.find)
        self._large_bodies = asyncio.Semaphore(concurrency.LARGE_BODIES)

    async def fetch(self, request: FetchRequest) -> PageBody | None:
        file, entity = request.adapter.file, request.entity
        connection = self._find(request.org, request.adapter.name)
        base_url = connection.base_url or file.base_url
        address = partial(page_request, file, entity, request.org, base_url, size=request.size, parent=request.parent)
        wanted = address(request.start, link=request.link, rank=request.rank)
        parent = request.parent.key if request.parent else ""
        read = partial(self._read, adapter=file, entity=entity, parent=parent, cut=request.cut)
        try:
            page = await self._client.get(connection, file, entity, wanted, read)
        except Gone:
            return None
        if page.next is not None and entity.paging.style == "link":
            check_next(address(), wanted, address(link=page.next))
        return page

    async def close(self) -> None:
        await self._client.close()

    async def _read(
        self,
        body: bytes,
        asked: Asked,
        adapter: AdapterFile,
        entity: Entity,
        parent: str,
        cut: Callable[[], Cut],
    ) -> PageBody:
        """In steps, between which others work; large bodies one after the other, since each takes its memory."""
        steps = reading(body, adapter, entity, parent, cut())
        if len(body) <= WHOLE_BYTES_MAX:
            page = await _result_of(steps)
        else:
            async with self._large_bodies:
                page = await _result_of(steps)
        return replace(page, requested_at=asked.at, asked_at=asked.by_source)


async def _result_of(steps: Generator[None, None, PageBody]) -> PageBody:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            page: PageBody = end.value
            return page
        await asyncio.sleep(0)
