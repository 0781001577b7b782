"""The embedded broker's jars: fetched once into the cache, whole or not at all, and verified at each start."""

import asyncio
import hashlib
import shutil
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from service.clock import Clock
from service.dev.kafka.storage import MIB, prepare_directory
from service.dev.lock import held
from topics.errors import Rejected, Retryable, SluiceError

KAFKA_VERSION = "4.3.1"
PINS = Path(__file__).with_name("jars.sha256")
CACHE_FREE_BYTES_MIN = 256 * MIB  # the jars take 44 MiB, twice that while they are fetched
DOWNLOADS_MAX = 8  # at a time
REQUEST_SECONDS_MAX = 60
LOCK_SECONDS_MAX = 600  # as long as a slow line takes for all of them


class Jar(NamedTuple):
    """One file of the broker. `coordinate` is GROUP:ARTIFACT:VERSION, as Maven repositories name it."""

    coordinate: str
    sha256: str

    @property
    def file_name(self) -> str:
        _, artifact, version = self.coordinate.split(":")
        return f"{artifact}-{version}.jar"


Download = Callable[[Jar, Path], Path]
"""Puts a jar somewhere under the given directory and returns where. Errors: any Exception."""


def pinned_jars() -> tuple[Jar, ...]:
    """What the broker is made of."""
    lines = PINS.read_text().splitlines()
    return tuple(Jar(*line.split()) for line in lines if not line.startswith("#"))


async def fetch_jars(
    cache: Path,
    tell: Callable[[str], None],
    clock: Clock,
    jars: Sequence[Jar] | None = None,
    download: Download | None = None,
) -> Path:
    """The directory that holds every jar, whole and verified; what is not there is fetched first.

    Safe to call from several processes at once: one fetches, the others wait. Rejected if the cache cannot be
    written, Retryable if a jar cannot be had.
    """
    wanted = pinned_jars() if jars is None else jars
    place = prepare_directory(cache, CACHE_FREE_BYTES_MIN, "SLUICE_CACHE") / f"kafka-{KAFKA_VERSION}"
    if await asyncio.to_thread(_is_complete, place, wanted):
        return place
    async with held(place.with_name(f"{place.name}.lock"), LOCK_SECONDS_MAX, clock):
        if not await asyncio.to_thread(_is_complete, place, wanted):
            tell(f"fetching Apache Kafka {KAFKA_VERSION} ({len(wanted)} jars) into {place}; this is done once")
            await asyncio.to_thread(_fetch, place, wanted, download or from_repository())
    return place


def from_repository() -> Download:
    """Downloads from the public Maven repository. Rejected if the resolver is not installed."""
    try:
        from jgo.maven import MavenContext  # here: an optional extra, needed only to fetch the jars
    except ImportError:
        raise Rejected("the embedded broker's jars need a resolver: pip install 'sluice[embedded]'") from None

    def download(jar: Jar, directory: Path) -> Path:
        context = MavenContext(repo_cache=directory, timeout=REQUEST_SECONDS_MAX)
        return Path(context.create_dependency(jar.coordinate).artifact.resolve())

    return download


def _is_complete(place: Path, jars: Sequence[Jar]) -> bool:
    return all(_is_intact(place / jar.file_name, jar) for jar in jars)


def _is_intact(file: Path, jar: Jar) -> bool:
    try:
        with file.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest() == jar.sha256
    except OSError:
        return False


def _fetch(place: Path, jars: Sequence[Jar], download: Download) -> None:
    """Fill a directory of our own and rename it; what an earlier, killed fetch left behind is removed."""
    partial = f"{place.name}-partial-"
    for left_behind in place.parent.glob(f"{partial}*"):
        shutil.rmtree(left_behind, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=partial, dir=place.parent, ignore_cleanup_errors=True) as work:
        whole = Path(work, "jars")
        whole.mkdir()
        with ThreadPoolExecutor(DOWNLOADS_MAX) as pool:
            for jar, file in zip(jars, pool.map(lambda jar: _fetch_one(jar, Path(work), download), jars), strict=True):
                file.replace(whole / jar.file_name)
        shutil.rmtree(place, ignore_errors=True)
        whole.replace(place)


def _fetch_one(jar: Jar, directory: Path, download: Download) -> Path:
    try:
        file = download(jar, directory)
    except SluiceError:
        raise
    except Exception as error:  # whatever the resolver and its HTTP client raise: the jar is not here
        raise Retryable(
            f"could not fetch {jar.coordinate} from the Maven repository ({type(error).__name__}: {error}); "
            "check the network and try again (behind a TLS proxy, REQUESTS_CA_BUNDLE names its certificate)"
        ) from error
    if not _is_intact(file, jar):
        raise Retryable(
            f"{jar.coordinate} came with other contents than it must have (SHA-256 differs): the download broke off, "
            "or something between here and the Maven repository changes files; try again, then find out what"
        )
    return file
