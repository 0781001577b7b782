"""The demonstration, as `make demo` runs it, on a small scale."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from service.settings import child_environment, read_settings
from tests.support.installation import ROOT

pytestmark = pytest.mark.kafka


def test_the_demo_ends_with_a_database_that_equals_its_source(tmp_path: Path) -> None:
    report = tmp_path / "figures.json"
    shown = subprocess.run(
        [sys.executable, "-m", "service", "demo", "--people", "60", "--report", str(report)],
        cwd=ROOT,
        env=child_environment(read_settings()) | {"SLUICE_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert shown.returncode == 0, shown.stdout + shown.stderr
    figures = json.loads(report.read_text())
    assert (figures["is_equal"], figures["entities"], figures["refetched_pages"]) == (True, 64, 0)
    assert figures["records"] == figures["expected"] > 1_000
