"""The list of generated files, with the pages of commands and settings."""

from collections.abc import Callable, Mapping
from html import unescape
from typing import Literal, get_args, get_origin

import typer
from pydantic.fields import FieldInfo
from typer.cli import get_docs_for_click
from typer.core import TyperGroup

from manifests.schema import adapter_schema, entity_schema
from service.cli import COMMANDS, app, loaded
from service.reference import NOTICE, code, page, table
from service.reference.states import states_page
from service.reference.topics import topics_page
from service.settings import Settings, variable

NAME = "sluice"

SETTINGS = """Environment variables configure Sluice. A variable that begins with `SLUICE_` and is not in this list is
an error, and so is an invalid value. A password or a proxy may be `file:PATH`: it is read from that file. The proxies
may have their usual names, too: `https_proxy`, `http_proxy`, `no_proxy`, or these in upper case."""


def commands_page() -> str:
    """The text of `sluice COMMAND --help` for every command."""
    command = typer.main.get_command(app)
    assert isinstance(command, TyperGroup)
    command.commands = {name: loaded(name) for name in COMMANDS}
    text = get_docs_for_click(obj=command, ctx=typer.Context(command, info_name=NAME), name=NAME, title="Commands")
    title, _, rest = unescape(text).partition("\n")  # typer escapes quotes for HTML
    return f"{title}\n\n{NOTICE}\n{rest.rstrip()}\n"


def settings_page() -> str:
    """Every variable, its default, its meaning."""
    rows = [
        [code(variable(name)), "none" if field.default is None else code(field.default), _meaning(field)]
        for name, field in Settings.model_fields.items()
    ]
    return page("Settings", SETTINGS, table(["variable", "default", "meaning"], rows))


def _meaning(field: FieldInfo) -> str:
    if get_origin(field.annotation) is not Literal:
        return field.description or ""
    values = ", ".join(code(value) for value in get_args(field.annotation))
    return f"{field.description} One of {values}."


PAGES: Mapping[str, Callable[[], str]] = {
    "docs/reference/cli.md": commands_page,
    "docs/reference/settings.md": settings_page,
    "docs/reference/states.md": states_page,
    "docs/reference/topics.md": topics_page,
    "manifests/adapter.schema.json": adapter_schema,
    "manifests/schema.json": entity_schema,
}
