from pathlib import Path

import pytest

from service.alone import alone
from service.clock import SystemClock
from topics.errors import Rejected


async def test_a_second_process_is_told_where_the_first_one_is(tmp_path: Path) -> None:
    async with alone(tmp_path, "dev", SystemClock()):
        with pytest.raises(Rejected, match=f"sluice dev already runs in {tmp_path}"):
            async with alone(tmp_path, "dev", SystemClock()):
                pass


async def test_the_next_one_may_run_when_the_first_has_ended(tmp_path: Path) -> None:
    for _ in range(2):
        async with alone(tmp_path, "dev", SystemClock()):
            pass
