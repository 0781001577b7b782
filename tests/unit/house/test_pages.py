"""Generated pages say what the code says."""

import pytest

from service.reference.pages import PAGES
from tests.support.house import ROOT


@pytest.mark.parametrize("name", PAGES)
def test_a_generated_file_is_up_to_date(name: str) -> None:
    assert (ROOT / name).read_text(encoding="utf-8") == PAGES[name](), f"{name} is out of date: run make fix"


def test_nothing_else_is_among_the_generated_pages() -> None:
    found = {path.relative_to(ROOT).as_posix() for path in (ROOT / "docs/reference").iterdir()}
    assert found == {name for name in PAGES if name.startswith("docs/")}
