"""What was written to Kafka for certain, for the checker: a JSON line each."""

import json
from pathlib import Path
from typing import Any

from tests.chaos.records import Sent


class Ledger:
    """`places` are topic, partition and offset of every line."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.places: set[tuple[str, int, int]] = set()
        path.touch()

    def note(self, record: Sent, place: Any, **more: str) -> None:
        line = {"topic": place.topic, "partition": place.partition, "offset": place.offset, **more}
        line["key"] = record.key.decode() if record.key is not None else None
        line["value"] = record.value.decode(errors="replace") if record.value is not None else None
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")
        self.places.add((place.topic, place.partition, place.offset))
