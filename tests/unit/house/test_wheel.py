"""The wheel can be built from the tree, and holds all that the program reads beside its modules."""

from pathlib import Path
from zipfile import ZipFile

import pytest
from hatchling.builders.wheel import WheelBuilder

from tests.support.house import PACKAGES, ROOT


@pytest.fixture(scope="module")
def contents(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    directory = tmp_path_factory.mktemp("wheel")
    (wheel,) = WheelBuilder(str(ROOT)).build(directory=str(directory), versions=["standard"])
    with ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.mark.parametrize("package", PACKAGES)
def test_each_file_of_a_package_is_in_the_wheel(contents: set[str], package: str) -> None:
    files = {path for path in (ROOT / package).rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert {path.relative_to(ROOT).as_posix() for path in files} <= contents


@pytest.mark.parametrize(
    "name", ["manifests/schema.json", "manifests/pco/people/person.yaml", "service/sinks/sql/sqlite/001_ledger.sql"]
)
def test_what_is_no_module_is_in_the_wheel(contents: set[str], name: str) -> None:
    assert name in contents


def test_no_test_is_in_the_wheel(contents: set[str]) -> None:
    assert {Path(name).parts[0] for name in contents} == {*PACKAGES, "sluice-0.1.0.dist-info"}
