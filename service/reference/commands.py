"""The page of commands: what `sluice COMMAND --help` says of each."""

import typer
from typer.cli import get_docs_for_click
from typer.main import get_command

from service.cli import app
from service.reference.markdown import NOTICE

NAME = "sluice"
QUOTES = {"&#x27;": "'", "&quot;": '"'}  # as HTML; Markdown needs no such thing


def commands_page() -> str:
    command = get_command(app)
    text = get_docs_for_click(obj=command, ctx=typer.Context(command, info_name=NAME), name=NAME, title="Commands")
    for escaped, plain in QUOTES.items():
        text = text.replace(escaped, plain)
    title, _, rest = text.partition("\n")
    return f"{title}\n\n{NOTICE}\n{rest.rstrip()}\n"
