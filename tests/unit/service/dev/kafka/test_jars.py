import asyncio
import hashlib
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from service.clock import SystemClock
from service.dev.kafka import jars as module
from service.dev.kafka.jars import Jar, fetch_jars, from_repository, pinned_jars
from topics.errors import Rejected, Retryable

CONTENTS = {"broker": b"one jar", "log": b"another"}
JARS = tuple(Jar(f"org.example:{name}:1.0", hashlib.sha256(text).hexdigest()) for name, text in CONTENTS.items())


class Repository:
    """Serves `CONTENTS`; counts what it served."""

    def __init__(self, contents: dict[str, bytes] = CONTENTS) -> None:
        self.contents = contents
        self.served: list[str] = []

    def __call__(self, jar: Jar, directory: Path) -> Path:
        self.served.append(jar.file_name)
        file = directory / f"{len(self.served)}.download"
        file.write_bytes(self.contents[jar.coordinate.split(":")[1]])
        return file


def unplugged(jar: Jar, directory: Path) -> Path:
    (directory / "half").write_bytes(b"hal")
    raise ConnectionError("network is unreachable")


def names_in(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


async def fetch(cache: Path, repository: module.Download) -> Path:
    return await fetch_jars(cache, print, SystemClock(), JARS, repository)


async def test_jars_are_fetched_once_even_if_two_begin_together(tmp_path: Path) -> None:
    repository = Repository()
    place, _ = await asyncio.gather(fetch(tmp_path, repository), fetch(tmp_path, repository))
    found = {file.name: file.read_bytes() for file in place.iterdir()}
    assert found == {"broker-1.0.jar": b"one jar", "log-1.0.jar": b"another"}
    assert await fetch(tmp_path, repository) == place
    assert sorted(repository.served) == ["broker-1.0.jar", "log-1.0.jar"]


@pytest.mark.parametrize("damage", [Path.unlink, lambda jar: jar.write_bytes(b"anothex")], ids=["lost", "damaged"])
async def test_a_jar_that_is_lost_or_damaged_is_noticed_and_fetched_again(
    damage: Callable[[Path], object], tmp_path: Path
) -> None:
    jar = (await fetch(tmp_path, Repository())) / "log-1.0.jar"
    damage(jar)
    await fetch(tmp_path, Repository())
    assert jar.read_bytes() == b"another"


@pytest.mark.parametrize(
    ("repository", "why"),
    [
        (Repository({**CONTENTS, "log": b"evil"}), r"org.example:log:1.0 was downloaded with a wrong SHA-256"),
        (unplugged, r"could not fetch org.example:.*network is unreachable.*check the network"),
    ],
    ids=["other_contents", "no_network"],
)
async def test_a_fetch_that_fails_says_why_and_leaves_nothing_behind_not_even_of_one_that_was_killed(
    repository: module.Download, why: str, tmp_path: Path
) -> None:
    (tmp_path / "kafka-4.3.1-partial-x1").mkdir()
    with pytest.raises(Retryable, match=why):
        await fetch(tmp_path, repository)
    assert names_in(tmp_path) == ["kafka-4.3.1.lock"]


async def test_a_cache_that_cannot_be_written_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Rejected, match=r"cannot be written.*SLUICE_CACHE"):
        await fetch(tmp_path / "file" / "cache", Repository())


def test_without_the_resolver_the_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jgo.maven", None)
    with pytest.raises(Rejected, match=r"pip install 'sluice\[embedded\]'"):
        from_repository()


def test_the_pins_name_each_jar_once_and_the_broker_in_its_version() -> None:
    pins = pinned_jars()
    assert len({pin.file_name for pin in pins}) == len(pins)
    assert f"kafka_2.13-{module.KAFKA_VERSION}.jar" in {pin.file_name for pin in pins}
    assert all(len(bytes.fromhex(pin.sha256)) == 32 for pin in pins)
