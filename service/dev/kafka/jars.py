"""The embedded broker's jars: fetched once into the cache, all or none, and verified at each start."""

import asyncio
import hashlib
import shutil
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from agents.concurrency import JAR_DOWNLOADS
from service.clock import Clock
from service.dev import Say
from service.dev.kafka.storage import MIB, prepare_directory
from service.lock import held
from topics.errors import Rejected, Retryable, SluiceError

KAFKA_VERSION = "4.3.1"
PINS = Path(__file__).with_name("jars.sha256")
CACHE_FREE_BYTES_MIN = 256 * MIB  # the jars take 44 MiB, twice that while they are fetched
REQUEST_SECONDS_MAX = 60
LOCK_SECONDS_MAX = 600  # the time of all downloads on a slow line


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
    """The jars of the broker, with their hashes."""
    lines = PINS.read_text().splitlines()
    return tuple(Jar(*line.split()) for line in lines if not line.startswith("#"))


async def fetch_jars(
    cache: Path, say: Say, clock: Clock, jars: Sequence[Jar] | None = None, download: Download | None = None
) -> Path:
    """The directory that holds every jar, verified; if one is missing or damaged, all are fetched first.

    Safe to call from several processes at once: one fetches, the others wait. Rejected if the cache cannot be
    written, Retryable if a jar cannot be fetched.
    """
    wanted = pinned_jars() if jars is None else jars
    directory = prepare_directory(cache, CACHE_FREE_BYTES_MIN, "SLUICE_CACHE") / f"kafka-{KAFKA_VERSION}"
    if await asyncio.to_thread(_is_complete, directory, wanted):
        return directory
    async with held(directory.with_name(f"{directory.name}.lock"), LOCK_SECONDS_MAX, clock):
        if not await asyncio.to_thread(_is_complete, directory, wanted):
            say(f"fetching Apache Kafka {KAFKA_VERSION} ({len(wanted)} jars) into {directory}; this is done once")
            await asyncio.to_thread(_fetch, directory, wanted, download or from_repository())
    return directory


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


def _is_complete(directory: Path, jars: Sequence[Jar]) -> bool:
    return all(_is_intact(directory / jar.file_name, jar) for jar in jars)


def _is_intact(file: Path, jar: Jar) -> bool:
    try:
        with file.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest() == jar.sha256
    except OSError:
        return False


def _fetch(directory: Path, jars: Sequence[Jar], download: Download) -> None:
    """Fill a temporary directory and rename it; those of killed fetches are removed."""
    partial = f"{directory.name}-partial-"
    for abandoned in directory.parent.glob(f"{partial}*"):
        shutil.rmtree(abandoned, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=partial, dir=directory.parent, ignore_cleanup_errors=True) as work:
        whole = Path(work, "jars")
        whole.mkdir()
        with ThreadPoolExecutor(JAR_DOWNLOADS) as pool:
            for jar, file in zip(jars, pool.map(lambda jar: _fetch_one(jar, Path(work), download), jars), strict=True):
                file.replace(whole / jar.file_name)
        shutil.rmtree(directory, ignore_errors=True)
        whole.replace(directory)


def _fetch_one(jar: Jar, directory: Path, download: Download) -> Path:
    try:
        file = download(jar, directory)
    except SluiceError:
        raise
    except Exception as error:  # the resolver and its HTTP client raise errors of many types
        raise Retryable(
            f"could not fetch {jar.coordinate} from the Maven repository ({type(error).__name__}: {error}); "
            "check the network and try again (behind a TLS proxy, REQUESTS_CA_BUNDLE names its certificate)"
        ) from error
    if not _is_intact(file, jar):
        raise Retryable(
            f"{jar.coordinate} was downloaded with a wrong SHA-256: the download broke off, or a proxy on the way "
            "to the Maven repository changes files; try again, then check the network"
        )
    return file
