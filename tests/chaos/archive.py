"""The journal's archive: every record of the changelog, written down before compaction can take it.

The checker judges whole histories, and Kafka keeps only the last record of each key. The archive is a file with a JSON
object on each line: partition, offset, key, value and headers, bytes as base64, null for none.
"""

import asyncio
import json
from base64 import b64encode
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from topics.catalog import CHANGELOG

POLL_MS = 200
RETRY_SECONDS = 0.5
CATCH_UP_SECONDS_MAX = 30.0
# Compaction every minute: a record goes a minute after it came, once a newer one of its key is there. A segment is
# closed every few seconds, since only closed ones are compacted.
COMPACTED = {
    "segment.ms": "10000",
    "min.cleanable.dirty.ratio": "0.01",
    "min.compaction.lag.ms": "60000",
    "max.compaction.lag.ms": "70000",
}


class Archive:
    """Reads, past the proxies, until it is cancelled; then `catch_up`."""

    def __init__(self, bootstrap: str, partitions: int, path: Path) -> None:
        self.path = path
        self._bootstrap = bootstrap
        self._next: Counter[TopicPartition] = Counter({TopicPartition(CHANGELOG, n): 0 for n in range(partitions)})

    async def keep(self) -> None:
        """A broker that is away is waited for."""
        while True:
            try:
                async with self._reader() as consumer:
                    while True:
                        await self._read(consumer)
            except (KafkaError, OSError):
                await asyncio.sleep(RETRY_SECONDS)

    async def catch_up(self) -> None:
        """Everything that is in the changelog now. TimeoutError: it cannot be read in time."""
        async with asyncio.timeout(CATCH_UP_SECONDS_MAX), self._reader() as consumer:
            ends = await consumer.end_offsets(list(self._next))
            while any(self._next[tp] < end for tp, end in ends.items()):
                await self._read(consumer)

    def _reader(self) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(bootstrap_servers=self._bootstrap, enable_auto_commit=False)

    async def _read(self, consumer: AIOKafkaConsumer) -> None:
        if not consumer.assignment():
            consumer.assign(list(self._next))
            for tp, offset in self._next.items():
                consumer.seek(tp, offset)
        for tp, records in (await consumer.getmany(timeout_ms=POLL_MS)).items():
            self._write(records)
            self._next[tp] = records[-1].offset + 1

    def _write(self, records: Sequence[Any]) -> None:
        with self.path.open("a") as file:
            for one in records:
                line = {
                    "partition": one.partition,
                    "offset": one.offset,
                    "key": _text(one.key),
                    "value": _text(one.value),
                    "headers": [(name, _text(content)) for name, content in one.headers],
                }
                file.write(json.dumps(line) + "\n")


def _text(content: bytes | None) -> str | None:
    return None if content is None else b64encode(content).decode()
