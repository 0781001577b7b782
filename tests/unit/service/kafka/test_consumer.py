import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaTimeoutError

from service.kafka.consumer import unread
from tests.support.consumer import Consumer


@pytest.mark.parametrize(("failure", "count"), [(None, 3), (KafkaTimeoutError(), None), (TimeoutError(), None)])
async def test_unread_is_what_the_broker_has_behind_our_positions_if_it_says_so(
    failure: Exception | None, count: int | None
) -> None:
    consumer = Consumer()
    consumer.read_failure = failure
    read, behind, paused = (TopicPartition("page-done", number) for number in range(3))
    for tp in (read, behind, paused):
        consumer.append(tp, *[b"command"] * 10)
    consumer.positions |= {read: 10, behind: 7}
    consumer.pause(paused)
    assert await unread(consumer) == count
