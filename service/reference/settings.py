"""The page of settings: every variable, its default, its meaning."""

from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from service.reference.markdown import code, page, table
from service.settings import Settings, variable

INTRODUCTION = """Sluice is told by environment variables how it runs. One that begins with `SLUICE_` and is not in
this list is an error, and so is a value that does not fit. A password may be `file:PATH`: it is read from that
file."""


def settings_page() -> str:
    rows = [
        [code(variable(name)), _default(field.default), _meaning(field)]
        for name, field in Settings.model_fields.items()
    ]
    return page("Settings", INTRODUCTION, table(["variable", "default", "meaning"], rows))


def _default(value: Any) -> str:
    return "none" if value is None else code(value)


def _meaning(field: FieldInfo) -> str:
    if get_origin(field.annotation) is not Literal:
        return field.description or ""
    values = ", ".join(code(value) for value in get_args(field.annotation))
    return f"{field.description} One of {values}."
