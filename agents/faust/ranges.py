"""Reading of a range of the changelog beside Faust's consumer, which reads there only while it restores."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from faust.types import TP

READ_SECONDS_MAX = 60.0
READ_RECORDS_MAX = 500
POLL_MS = 500

Take = Callable[[Sequence[Any]], bool]
"""Takes the next records; False if no more are wanted."""


async def read_range(app: Any, tp: TP, start: int, end: int, take: Take) -> bool:
    """All from `start` to before `end`, and maybe more; False if `take` did not want them all.

    KafkaError, or TimeoutError, if the broker does not give them in time.
    """
    consumer = app.consumer._thread._create_client_consumer(app.consumer.transport)
    try:
        async with asyncio.timeout(READ_SECONDS_MAX):
            await consumer.start()
            consumer.assign([tp])
            consumer.seek(tp, start)
            while await consumer.position(tp) < end:
                fetched = await consumer.getmany(timeout_ms=POLL_MS, max_records=READ_RECORDS_MAX)
                if not take(fetched.get(tp, ())):
                    return False
            return True
    finally:
        await consumer.stop()
