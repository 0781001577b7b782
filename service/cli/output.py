"""Output of commands: a table or sentences for people, one JSON document for programs, errors on stderr."""

from collections.abc import Callable
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from topics.errors import SluiceError

console = Console(highlight=False, emoji=False)
errors = Console(stderr=True, highlight=False, emoji=False)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]


def show(value: Any, as_json: bool, render: Callable[[Any], None]) -> None:
    """Print `value` (anything msgspec can encode) as JSON, or let `render` print it for people."""
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(value)).decode())
    else:
        render(value)


def say(line: str, style: str | None = None) -> None:
    """Print a line without markup; control characters of messages do not reach the terminal."""
    harmless = "".join(char if char.isprintable() or char in "\n\t" else "\ufffd" for char in line)
    console.print(harmless, markup=False, soft_wrap=True, style=style)


def table(columns: list[str], rows: list[list[str]]) -> None:
    """Print a plain table. A column whose name starts with '#' holds numbers and is aligned to the right."""
    grid = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        grid.add_column(column.lstrip("#"), justify="right" if column.startswith("#") else "left", overflow="fold")
    for row in rows:
        grid.add_row(*row)
    console.print(grid)


def fail(error: SluiceError) -> None:
    errors.print(f"[bold red]sluice:[/] {escape(str(error))}", soft_wrap=True)
