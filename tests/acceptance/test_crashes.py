"""Whatever is killed while a sync runs: it completes, equals the source, and fetches no committed page again."""

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.installation import ROLES, Installation, installation
from tests.support.kafka import LiveBroker
from tests.support.ledger import Page, committed_lines, page_name, requested_pages

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(400)]

ORG = "acme"
SLOWLY = ("--org", ORG, "--no-rate-limit", "--people", "2500", "--latency-ms", "60")
START = json.dumps({"org": ORG, "adapter": "pco", "type": "full"}).encode()
PAGES_BETWEEN_KILLS = 40


@dataclass
class Moment:
    """What was committed, and how much had been served, when something was killed."""

    committed: set[Page]
    served: int


@pytest.fixture(params=["postgres", "sqlite"])
def sink(request: pytest.FixtureRequest) -> str | None:
    return request.getfixturevalue("postgres_dsn") if request.param == "postgres" else None


async def test_each_process_is_killed_in_turn_and_then_all_at_once(
    broker: LiveBroker, tmp_path: Path, sink: str | None
) -> None:
    async with installation(broker, tmp_path, sink, *SLOWLY, concurrency=4) as made:
        await made.produce("start-sync", START)
        moments = []
        for victims in (("worker",), ("fetcher",), ("broker",), ("simulator",), ("broker", "simulator", *ROLES)):
            await more_pages(made)
            await kill(made, *victims)
            moments.append(await moment(made))
            await restart(made, *victims)
        await made.complete(ORG)
        for then in moments:
            again = [page for _, page in served(made)[then.served :] if page in then.committed]
            assert again == [], "committed pages were fetched again"


async def more_pages(made: Installation) -> None:
    """The sync is under way and moves: this many pages more than now."""
    before = len(served(made))
    async with asyncio.timeout(60):
        while len(served(made)) < before + PAGES_BETWEEN_KILLS:
            await asyncio.sleep(0.1)


async def moment(made: Installation) -> Moment:
    lines, done = await committed_lines(made.settings.sink)
    so_far = served(made)
    committed = await requested_pages(made.settings.sink, ORG, lines)
    return Moment(committed | {page for entity, page in so_far if entity in done}, len(so_far))


def served(made: Installation) -> list[tuple[str, Page]]:
    """Entity and page of everything that the simulator served, in its order."""
    lines = made.journal.read_text().splitlines() if made.journal.exists() else []
    return [(entity, page_name(page)) for _, entity, page, _ in (line.split("\t") for line in lines)]


async def kill(made: Installation, *victims: str) -> None:
    for victim in victims:
        if victim == "broker":
            await made.broker.kill()
        else:
            made.kill(victim)


async def restart(made: Installation, *victims: str) -> None:
    for victim in victims:
        if victim == "broker":
            await made.broker.start()
        else:
            made.start(victim)
