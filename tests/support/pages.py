"""One page, read as a fetcher reads it: by the settings and the connections file."""

from agents.ports import FetchRequest, PageBody
from manifests.loader import load_packaged
from service.clock import SystemClock
from service.roles import open_source, open_transport
from service.settings import Settings


async def read_page(settings: Settings, base_url: str) -> PageBody | None:
    """The first page of people.email for acme."""
    settings.connections.write_text(f'"acme/pco": {{base_url: "{base_url}", auth: none}}\n')
    adapter = load_packaged().adapter("pco")
    source = open_source(settings, SystemClock(), open_transport(settings))
    try:
        return await source.fetch(FetchRequest("acme", adapter, adapter.entities["people.email"], 1))
    finally:
        await source.close()
