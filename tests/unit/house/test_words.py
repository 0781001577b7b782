"""Banned words: in names, docstrings, comments, texts and documents. Each has the words to use instead."""

import io
import re
import tokenize
from collections.abc import Iterable, Iterator
from itertools import dropwhile
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
ANY = re.compile(rf"\b(?:{'|'.join(BANNED)})\b", re.IGNORECASE)
# On the wire and in records, from the beginning; then data of tests.
WIRE = re.compile(r'["`](?:nudge|outnumbered|trail)["`]|\b(?:nudge|outnumbered)-\d')
FIXTURES = re.compile(r"\ba[./]rooms?\b|\brooms\b|\broom stands under|\bfield trip\b|room_id|\bRoom \d|/rooms")
SPLIT = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|_+")
DOCUMENTS = ("*.md", "Makefile", "pyproject.toml", "docs/**/*.md", "tests/**/*.py", "service/**/*.sql")
LAST_OLD_DECISION = 46  # those before it are history, and not rewritten
# Data; and migrations: one that was applied anywhere is never changed.
UNREAD = (Path(__file__), ROOT / "service/sinks/sql", ROOT / "service/dev/simulator/products")


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Names, as words, and prose of a file, by line."""
    source = path.read_text(encoding="utf-8")
    lines = enumerate(source.splitlines(), 1)
    if path.suffix == ".py":
        yield from python_texts(source)
    elif path.suffix == ".sql":
        yield from ((number, line) for number, line in lines if "--" in line)
    elif path.name == "DECISIONS.md":
        yield from dropwhile(lambda line: not line[1].startswith(f"{LAST_OLD_DECISION + 1}. "), lines)
    else:
        yield from lines


def python_texts(source: str) -> Iterator[tuple[int, str]]:
    if not ANY.search(source + SPLIT.sub(" ", source)):
        return  # to find the tokens takes much longer
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.NAME:
            yield token.start[0], " ".join(SPLIT.split(token.string))
        elif token.type in (tokenize.COMMENT, tokenize.STRING) or tokenize.tok_name[token.type].startswith("FSTRING"):
            yield from enumerate(token.string.splitlines(), token.start[0])


def banned(texts: Iterable[tuple[int, str]]) -> Iterator[str]:
    for number, text in texts:
        if ANY.search(text):
            plain = FIXTURES.sub("", WIRE.sub("", text))
            for words, instead in WORDS.items():
                if found := words.search(plain):
                    yield f"line {number}: {found[0]!r} in {text.strip()[:100]!r}: say {instead}"


def files() -> list[Path]:
    every = {*product_modules(), *(path for pattern in DOCUMENTS for path in ROOT.glob(pattern))}
    return sorted(path for path in every if not {path, *path.parents} & set(UNREAD))


@pytest.mark.parametrize("path", files(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_file_speaks_plainly(path: Path) -> None:
    assert list(banned(texts(path))) == []


def test_each_banned_word_is_found() -> None:
    assert [words for words in BANNED if not list(banned([(1, words.partition("|")[0])]))] == []
