"""The broker, and what a producer has handed over to it but not yet got there."""

from collections import defaultdict
from dataclasses import dataclass, field
from random import Random

from agents.local import LocalRecord, MovableClock
from agents.strict.batch import Out


@dataclass
class Broker:
    """Topics of one partition: what is in them stays, in its order. `committed` belongs to the group."""

    clock: MovableClock
    topics: dict[str, list[LocalRecord]] = field(default_factory=lambda: defaultdict(list))
    committed: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def append(self, topic: str, out: Out) -> None:
        records = self.topics[topic]
        at = self.clock.now_ms
        records.append(LocalRecord(topic, 0, len(records), at, out.key, out.value, tuple(out.headers)))

    def end(self, topic: str) -> int:
        return len(self.topics[topic])


class Producer:
    """Records on their way: in order within a topic, in any order between topics. A crash loses what is not there."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._waiting: dict[str, list[Out]] = defaultdict(list)

    def send(self, topic: str, out: Out) -> None:
        self._waiting[topic].append(out)

    def deliver_some(self, random: Random) -> None:
        """The network takes what it takes: of each topic some first part."""
        for topic in sorted(self._waiting):
            self._deliver(topic, random.randint(0, len(self._waiting[topic])))

    def flush(self) -> None:
        for topic in sorted(self._waiting):
            self._deliver(topic, len(self._waiting[topic]))

    def _deliver(self, topic: str, count: int) -> None:
        for out in self._waiting[topic][:count]:
            self._broker.append(topic, out)
        del self._waiting[topic][:count]
