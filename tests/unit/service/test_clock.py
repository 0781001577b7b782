import time

import pytest

from service.clock import SystemClock


def test_steady_time_is_the_wall_clocks_at_the_start_and_does_not_jump_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    wall, since_boot = [1_700_000_000_000], [5_000]
    monkeypatch.setattr(time, "time_ns", lambda: wall[0] * 1_000_000)
    monkeypatch.setattr(time, "clock_gettime_ns", lambda clock: since_boot[0] * 1_000_000)
    clock = SystemClock()
    wall[0] -= 3_600_000
    since_boot[0] += 250
    assert clock.steady_ms() == 1_700_000_000_250
