"""The Source of agents.activities on HTTP: from a page that is asked for to its rows."""

from functools import lru_cache, partial

from agents.ports import FetchRequest, PageBody
from agents.records.reader import read_page
from service.api.client import ApiClient
from service.api.connections import Connections
from service.api.errors import Gone
from service.api.requests import page_request

CONNECTIONS_REMEMBERED_MAX = 10_000  # the least recently used is looked up again


class ApiSource:
    """Pages of every organisation's APIs, as the connections file says how to reach them."""

    def __init__(self, client: ApiClient, connections: Connections) -> None:
        self._client = client
        self._find = lru_cache(maxsize=CONNECTIONS_REMEMBERED_MAX)(connections.find)

    async def fetch(self, request: FetchRequest) -> PageBody | None:
        file, entity = request.adapter.file, request.entity
        connection = self._find(request.org, request.adapter.name)
        base_url = connection.base_url or file.base_url
        asked = (request.start, request.size, request.link, request.parent)
        wanted = page_request(file, entity, request.org, base_url, *asked)
        parent = request.parent.key if request.parent else ""
        read = partial(read_page, adapter=file, entity=entity, parent=parent, cut=request.cut)
        try:
            return await self._client.get(connection, file, entity, wanted, read)
        except Gone:
            return None

    async def close(self) -> None:
        await self._client.close()
