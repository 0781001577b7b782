"""Reference pages and schemas, generated from the code, and their Markdown. Text only: `__main__` alone does IO."""

import inspect
from collections.abc import Iterable, Sequence

NOTICE = "<!-- Written by `make fix` from the code. Change the code. -->"


def page(title: str, *parts: str) -> str:
    """A page: its title, the notice, and the parts with an empty line between them."""
    return "\n\n".join((f"# {title}", NOTICE, *parts)) + "\n"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = (columns, ["---"] * len(columns), *rows)
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def code(text: object) -> str:
    return f"`{text}`"


def prose(what: object) -> str:
    """The docstring, with its line breaks."""
    return inspect.getdoc(what) or ""


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
