"""Banned words: in names, docstrings, comments, texts and documents. Each has the words to use instead."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.house import ROOT, product_modules

BANNED = {
    r"tell|tells|told|telling|tellings": "report, result, say",
    r"owe|owes|owed|owing": "pending commands",
    r"hand over|hands over|handed over|handed|handing over|hand out|handed out": "deliver locally, publish, pass",
    r"bury|buries|buried|burial|burials|graveyard|dig up|dug up": "dead letter",
    r"trail|trails": "history",
    r"nudge|nudges|nudged": "retry",
    r"outnumber|outnumbers|outnumbered": "stale run",
    r"room|rooms": "context, package, module",
    r"desk|shells": "harness, processor",
    r"passenger|passengers|depart|departs": "items, flush",
    r"company": "active runs, load",
    r"stretch|stretches": "range",
    r"haunt|haunts|zombie|zombies|exorcise|phantom|phantoms": "expelled process, stale run",
    r"fate|weather|tale|tales|kin|kinship": "faults, plan, families",
    r"careful way|careful path": "upsert path",
    r"circle|circles": "cycle",
    r"misfit|misfits|misnumber|unfit": "invalid value, unrepresentable number",
    r"collector of cycles": "garbage collector",
    r"let go|lets go|go on|goes on|went on|going on": "cancel, release, continue",
    r"spoil|spoils|stranger|strangers|riddle": "a plain statement of the fact",
    r"blotted|is heard": "redacted, is accepted",
}
WORDS = {re.compile(rf"\b(?:{words})\b", re.IGNORECASE): instead for words, instead in BANNED.items()}
# On the wire and in records, from the beginning; then data of tests.
WIRE = re.compile(r'["`](?:nudge|outnumbered|trail)["`]|\b(?:nudge|outnumbered)-\d')
FIXTURES = re.compile(r"\ba[./]rooms?\b|\brooms\b|\broom stands under|\bfield trip\b|room_id|\bRoom \d|/rooms")
SPLIT = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|_+")
DOCUMENTS = ("README.md", "ARCHITECTURE.md", "CHANGELOG.md", "Makefile", "pyproject.toml", "docs/**/*.md")
LAST_OLD_DECISION = 46  # those are history, and not rewritten
MIGRATIONS = ROOT / "service/sinks/sql"
SIMULATED_DATA = ROOT / "service/dev/simulator/products"


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Names, as words, and prose of a module, by line."""
    for token in tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline):
        if token.type == tokenize.NAME:
            yield token.start[0], " ".join(SPLIT.split(token.string))
        elif token.type in (tokenize.COMMENT, tokenize.STRING) or tokenize.tok_name[token.type].startswith("FSTRING"):
            for number, line in enumerate(token.string.splitlines()):
                yield token.start[0] + number, line


def banned(texts: Iterator[tuple[int, str]]) -> Iterator[str]:
    for number, text in texts:
        plain = FIXTURES.sub("", WIRE.sub("", text))
        for words, instead in WORDS.items():
            if found := words.search(plain):
                yield f"line {number}: {found[0]!r} in {text.strip()[:100]!r}: say {instead}"


def decisions() -> Iterator[tuple[int, str]]:
    lines = (ROOT / "DECISIONS.md").read_text(encoding="utf-8").splitlines()
    start = next((n for n, line in enumerate(lines) if line.startswith(f"{LAST_OLD_DECISION + 1}. ")), len(lines))
    yield from enumerate(lines[start:], start + 1)


def documents() -> list[Path]:
    return sorted(path for pattern in DOCUMENTS for path in ROOT.glob(pattern))


def modules() -> list[Path]:
    every = [*product_modules(), *sorted((ROOT / "tests").rglob("*.py"))]
    return [path for path in every if path != Path(__file__) and SIMULATED_DATA not in path.parents]


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_module_speaks_plainly(path: Path) -> None:
    assert list(banned(texts(path))) == []


@pytest.mark.parametrize("path", documents(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_document_speaks_plainly(path: Path) -> None:
    assert list(banned(enumerate(path.read_text(encoding="utf-8").splitlines(), 1))) == []


def test_new_decisions_speak_plainly() -> None:
    assert list(banned(decisions())) == []


def test_each_banned_word_is_found() -> None:
    assert [words for words in BANNED if not list(banned(iter([(1, words.partition("|")[0])])))] == []


def statements() -> list[Path]:
    """Not migrations: one that was applied anywhere is never changed."""
    return sorted(path for path in (ROOT / "service").rglob("*.sql") if MIGRATIONS not in path.parents)


@pytest.mark.parametrize("path", statements(), ids=lambda path: path.name)
def test_a_statement_speaks_plainly(path: Path) -> None:
    comments = [(n, line) for n, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1) if "--" in line]
    assert list(banned(iter(comments))) == []


CLAUSE = re.compile(r"(?:What|Who|Whoever|How|Where|When|Whether|From|Whatever)\b")


@pytest.mark.parametrize("path", product_modules(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_module_begins_with_a_noun_that_says_what_it_is(path: Path) -> None:
    assert not CLAUSE.match(ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "")
