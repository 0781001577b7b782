"""A client of a simulated API within this process, and the clock of that simulator."""

from datetime import UTC, datetime
from typing import Any

import httpx

from service.dev.simulator.app import build_app
from service.dev.simulator.config import SimulatorConfig
from tests.engine.clock import MovableClock

PEOPLE = "/people/v2/people"
EMAILS = "/people/v2/emails"
JUNE_MS = int(datetime(2026, 6, 1, tzinfo=UTC).timestamp() * 1000)


class Api:
    """Of the organisations acme and beta, with acme's credentials unless a request brings others."""

    def __init__(self, **config: Any) -> None:
        self.clock = MovableClock(JUNE_MS)
        settings = {"orgs": ("acme", "beta"), "people": 260, "rate_limit": False} | config
        self._app = build_app(SimulatorConfig(**settings), self.clock)

    def close(self) -> None:
        self._app.close()

    async def send(self, method: str, url: str, **request: Any) -> httpx.Response:
        request.setdefault("auth", ("acme", "secret-acme"))
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app=self._app), base_url="http://simulator"
        ) as client:
            return await client.request(method, url, **request)

    async def get(self, url: str, **request: Any) -> httpx.Response:
        return await self.send("GET", url, **request)

    async def document(self, url: str, **request: Any) -> Any:
        answer = await self.get(url, **request)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def everything(self, url: str, **request: Any) -> list[dict[str, Any]]:
        """The rows of all pages."""
        rows: list[dict[str, Any]] = []
        following: str | None = url
        while following:
            document = await self.document(following, **request)
            rows += document["data"]
            following = document["links"].get("next")
        return rows
