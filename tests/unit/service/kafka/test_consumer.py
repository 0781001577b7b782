import pytest
from aiokafka.errors import KafkaTimeoutError

from service.kafka.consumer import unread


class Partitions:
    """A consumer of three partitions: read to its end, behind it, and paused."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure

    def assignment(self) -> frozenset[str]:
        return frozenset("abc")

    def paused(self) -> set[str]:
        return {"c"}

    async def end_offsets(self, partitions: list[str]) -> dict[str, int]:
        if self.failure is not None:
            raise self.failure
        return dict.fromkeys(partitions, 10)

    async def position(self, partition: str) -> int:
        return {"a": 10, "b": 7, "c": 0}[partition]


@pytest.mark.parametrize(("failure", "count"), [(None, 3), (KafkaTimeoutError(), None), (TimeoutError(), None)])
async def test_unread_is_what_the_broker_has_behind_our_positions_if_it_says_so(
    failure: Exception | None, count: int | None
) -> None:
    assert await unread(Partitions(failure)) == count
