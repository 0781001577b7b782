import pytest

from agents.kinds import SHIPPED
from service.clock import SystemClock
from service.kafka.producer import produce
from service.settings import Settings
from topics.catalog import COMMAND_BYTES_MAX
from topics.command import RetryNow
from topics.errors import Rejected


async def test_a_command_that_does_not_fit_its_topic_is_rejected_before_anything_is_sent() -> None:
    command = RetryNow(workflow="main-sync:" + "a" * COMMAND_BYTES_MAX, request_id="r")
    with pytest.raises(Rejected, match=r"the control command for main-sync:a+… has 128,\d{3} bytes .* takes 64,000"):
        await produce(Settings(kafka_bootstrap="127.0.0.1:1"), SystemClock(), SHIPPED.catalog, [command], "test")
