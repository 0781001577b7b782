"""Watch of the journal's identity: a process whose Kafka was built anew under it begins anew, too."""

import asyncio
import logging
import os
from typing import NoReturn

from service.kafka.client import ClientArguments
from service.kafka.cluster import open_cluster
from service.kafka.journal import Journal
from service.kafka.topics import read_journal
from topics.errors import Retryable

log = logging.getLogger("sluice.journal")

WATCH_SECONDS = 15.0
EXIT_ANOTHER_JOURNAL = 74


async def watch_journal(client: ClientArguments, journal: Journal) -> NoReturn:
    """For as long as the process lives: end it when Kafka has another journal than it began with. Its positions,
    offsets and stores are of the old one; a fresh process knows what to do with them."""
    while True:
        await asyncio.sleep(WATCH_SECONDS)
        try:
            async with open_cluster(client) as cluster:
                found = await read_journal(cluster)
        except Retryable:
            continue  # whoever needs Kafka says so
        if found != journal:
            facts = {"sluice.journal": str(found), "sluice.former_journal": str(journal)}
            log.critical("Kafka was built anew: this process ends so that a fresh one begins with it", extra=facts)
            os._exit(EXIT_ANOTHER_JOURNAL)
