"""A consumer that holds one partition, as far as a watchdog needs it to know how much there is to read."""

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError


class HeldPartition:
    """Holds one partition. `end` is where the broker says that it ends; None: the broker says nothing."""

    def __init__(self, tp: TopicPartition, end: int | None) -> None:
        self.tp = tp
        self.end = end

    def assignment(self) -> frozenset[TopicPartition]:
        return frozenset([self.tp])

    async def end_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        if self.end is None:
            raise KafkaError
        return dict.fromkeys(partitions, self.end)
