from pathlib import Path

import pytest

from service.clock import SystemClock
from service.lock import single_instance
from topics.errors import Rejected


async def test_a_second_process_is_rejected_with_the_directory_until_the_first_has_ended(tmp_path: Path) -> None:
    for _ in range(2):
        async with single_instance(tmp_path, "dev", SystemClock()):
            with pytest.raises(Rejected, match=f"sluice dev already runs in {tmp_path}"):
                async with single_instance(tmp_path, "dev", SystemClock()):
                    pass
