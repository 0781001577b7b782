"""The load: requests for syncs all the time; each one that Kafka acknowledged is written down."""

import asyncio
import json
from random import Random

from aiokafka.errors import KafkaError

from tests.chaos.records import Sent, producer, write
from tests.chaos.system import System
from topics.kinds.sync import StartSync

PAUSE_SECONDS = (1.0, 4.0)
# Most people do not care what else runs; some insist.
POLICIES = ("ignore",) * 5 + ("queue",) * 2 + ("restart",)
KEYLESS_SHARE = 0.1  # records without a key, as careless programs write them


class Load:
    """`unacknowledged` counts the requests that were not acknowledged: nothing is expected of those."""

    def __init__(self, system: System, seed: int) -> None:
        self._system = system
        self._seed = seed
        self._random = Random(f"{seed}/load")
        self._number = 0
        self.unacknowledged = 0

    async def request_continuously(self) -> None:
        """Until it is cancelled. A producer that has failed is put away, as a program that starts again would."""
        while True:
            client = producer(self._system.brokers.bootstrap)
            try:
                await client.start()
                while True:
                    record = self._next()
                    place = await client.send_and_wait(record.topic, record.value, record.key)
                    self._system.produced.note(record, place)
                    await asyncio.sleep(self._random.uniform(*PAUSE_SECONDS))
            except KafkaError:
                self.unacknowledged += 1
                await asyncio.sleep(1.0)
            finally:
                await client.stop()

    async def request_all(self) -> list[str]:
        """One last sync of each organisation, behind whatever else was requested; the requests' names."""
        records = [start_sync(org, f"chaos-{self._seed}-last-{org}", "queue") for org in self._system.orgs]
        for record, place in zip(records, await write(self._system.brokers.bootstrap, records), strict=True):
            self._system.produced.note(record, place)
        return [f"chaos-{self._seed}-last-{org}" for org in self._system.orgs]

    def _next(self) -> Sent:
        self._number += 1
        org, policy = self._random.choice(self._system.orgs), self._random.choice(POLICIES)
        is_keyless = self._random.random() < KEYLESS_SHARE
        record = start_sync(org, f"chaos-{self._seed}-{self._number}", policy)
        return Sent(record.topic, None, record.value) if is_keyless else record


def start_sync(org: str, request: str, policy: str) -> Sent:
    """A request as any program may write it."""
    start = {"org": org, "adapter": "pco", "type": "full", "request_id": request, "on_conflict": policy}
    return Sent(StartSync.topic, f"main-sync:{org}:pco:full".encode(), json.dumps(start).encode())
