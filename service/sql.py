"""Named SQL statements, read from the .sql files beside the code that runs them.

A statement begins after a line `-- name: NAME` and ends at the next such line. The code fills in what is in braces.
"""

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


@cache
def read_statements(package: str, file: str) -> Mapping[str, str]:
    """The statements of one file, by name."""
    text = files(package).joinpath(file).read_text(encoding="utf-8")
    _, *parts = _NAME.split(text)
    return {name: body.strip() for name, body in zip(parts[::2], parts[1::2], strict=True)}
