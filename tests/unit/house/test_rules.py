"""The house's rules that no tool knows: sizes, names, docstrings, reasons. They only ever get stricter."""

import ast
import re
from importlib.metadata import packages_distributions
from pathlib import Path
from statistics import median

import pytest

from tests.support.house import PACKAGES, ROOT, product_modules, pyproject

FILE_LINES_MAX = 300
FUNCTION_LINES_MAX = 60
FUNCTION_LINES_MEDIAN_MAX = 8
LINES_PER_IGNORE_MIN = 500
EMPTY_NAMES = {"utils", "util", "helper", "helpers", "common", "base", "manager", "misc"}
IGNORE = re.compile(r"#\s*(type: ignore|noqa|pragma: no cover)")
IGNORE_WITH_REASON = re.compile(
    r"#\s*(type: ignore\[[a-z-]+(, ?[a-z-]+)*\]|noqa: [A-Z0-9, ]+?|pragma: no cover)\s+# \S+"
)

SOURCES = {path: path.read_text(encoding="utf-8") for path in product_modules()}
TREES = {path: ast.parse(source) for path, source in SOURCES.items()}
CLAUSE = re.compile(r"(?:What|Who|Whoever|How|Where|When|Whether|From|Whatever)\b")
FUNCTIONS = {
    f"{path.relative_to(ROOT)}:{node.lineno} {node.name}": (node.end_lineno or node.lineno) - node.lineno + 1
    for path, tree in TREES.items()
    for node in ast.walk(tree)
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
}


def test_files_are_short() -> None:
    lines = {path: len(source.splitlines()) for path, source in SOURCES.items()}
    assert {path: count for path, count in lines.items() if count > FILE_LINES_MAX} == {}


def test_functions_are_short() -> None:
    assert {name: count for name, count in FUNCTIONS.items() if count > FUNCTION_LINES_MAX} == {}


def test_most_functions_are_very_short() -> None:
    assert median(FUNCTIONS.values()) <= FUNCTION_LINES_MEDIAN_MAX


def test_each_module_begins_with_a_noun_that_says_what_it_is() -> None:
    assert [path for path, tree in TREES.items() if CLAUSE.match(ast.get_docstring(tree) or "What?")] == []


def test_a_module_is_named_for_what_it_holds() -> None:
    tests = (ROOT / "tests").rglob("*.py")
    assert [path for path in (*SOURCES, *tests) if EMPTY_NAMES & set(path.stem.split("_"))] == []


def test_each_ignore_has_its_reason() -> None:
    tests = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py") if path != Path(__file__)]
    lines = [line for source in (*SOURCES.values(), *tests) for line in source.splitlines()]
    assert [line for line in lines if IGNORE.search(line) and not IGNORE_WITH_REASON.search(line)] == []


def test_ignores_are_rare() -> None:
    lines = [line for source in SOURCES.values() for line in source.splitlines()]
    assert sum(IGNORE.search(line) is not None for line in lines) <= len(lines) / LINES_PER_IGNORE_MIN


def test_no_contract_has_an_exception() -> None:
    contracts = pyproject()["tool"]["importlinter"]["contracts"]
    assert [contract["name"] for contract in contracts if "ignore_imports" in contract] == []


@pytest.mark.parametrize("name", PACKAGES)
def test_no_other_distribution_claims_the_name(name: str) -> None:
    assert set(packages_distributions().get(name, [])) <= {"sluice"}
