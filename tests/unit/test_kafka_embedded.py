from pathlib import Path

import pytest

from service.clock import SystemClock
from service.dev.kafka import embedded
from service.settings import Settings
from tests.support.kafka import free_port
from topics.errors import Rejected


async def test_an_external_cluster_is_not_ours_to_start(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, kafka_bootstrap="kafka.example:9092")
    with pytest.raises(Rejected, match=r"names a cluster that is not ours to start \(kafka.example:9092\)"):
        await embedded.up(settings, print, SystemClock())


async def test_a_home_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Rejected, match=r"cannot be written.*set SLUICE_HOME"):
        await embedded.up(Settings(home=tmp_path / "file"), print, SystemClock())


async def test_a_full_disk_is_noticed_before_the_broker_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "HOME_FREE_BYTES_MIN", 2**60)
    with pytest.raises(Rejected, match=r"MiB free, at least 1099511627776 MiB are needed"):
        await embedded.up(Settings(home=tmp_path), print, SystemClock())


async def test_down_says_that_nothing_runs(tmp_path: Path) -> None:
    said: list[str] = []
    assert not await embedded.down(Settings(home=tmp_path), said.append, SystemClock())
    assert said == [f"no embedded Kafka runs in {tmp_path}/kafka"]


async def test_status_tells_why_a_broker_does_not_answer(tmp_path: Path) -> None:
    found = await embedded.status(Settings(home=tmp_path, kafka_port=free_port()))
    assert found.is_embedded
    assert found.pid is None
    assert found.problem is not None
    assert "Connect call failed" in found.problem
    assert "`sluice kafka up` starts the embedded one" in found.problem


async def test_status_asks_the_cluster_of_the_settings(tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    found = await embedded.status(Settings(home=tmp_path, kafka_bootstrap=address))
    assert not found.is_embedded
    assert found.bootstrap == address
    assert found.problem is not None
