from pathlib import Path

import pytest

from service.clock import SystemClock
from service.dev.kafka import embedded
from service.settings import Settings
from tests.support.kafka import free_port
from topics.errors import Rejected


async def test_an_external_cluster_is_not_started(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, kafka_bootstrap="kafka.example:9092")
    with pytest.raises(Rejected, match=r"names a cluster that Sluice does not start \(kafka.example:9092\)"):
        await embedded.up(settings, print, SystemClock())


async def test_a_home_that_cannot_be_written_is_rejected(tmp_path: Path) -> None:
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


@pytest.mark.parametrize("is_embedded", [True, False])
async def test_status_says_why_the_broker_of_the_settings_does_not_answer(tmp_path: Path, is_embedded: bool) -> None:
    port = free_port()
    where = {"kafka_port": port} if is_embedded else {"kafka_bootstrap": f"127.0.0.1:{port}"}
    found = await embedded.status(Settings.model_validate({"home": tmp_path, **where}))
    assert (found.is_embedded, found.bootstrap, found.pid) == (is_embedded, f"127.0.0.1:{port}", None)
    for part in ("Connect call failed", "`sluice kafka up` starts the embedded one"):
        assert part in (found.problem or "")
