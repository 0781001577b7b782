"""One YAML file as plain values that remember their lines. Stricter than YAML: what would surprise is an error.

No second key of a name, no anchors, aliases, merge keys or tags; only text, whole numbers, true, false and null (a date
or a version stays text). Size and nesting are bounded: the parser under this would crash on a file of brackets.
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import ValidationError

from manifests.entity import Shape
from topics.errors import Rejected

try:
    from yaml import CSafeLoader as SafeLoader
except ImportError:
    from yaml import SafeLoader  # type: ignore[assignment]  # the same interface, without libyaml

FILE_BYTES_MAX = 64_000
NESTING_MAX = 16  # twice what the shape of a manifest needs

Value = str | int | bool | list["Value"] | dict[str, "Value"] | None
Loc = tuple[str | int, ...]

S = TypeVar("S", bound=Shape)

_SAID = {
    "extra_forbidden": "there is no such field",
    "missing": "is missing",
    "union_tag_not_found": "must say its style",
}
_TAG = "tag:yaml.org,2002:"
_SCALARS: dict[str, tuple[re.Pattern[str], Callable[[str], str | int | bool | None]]] = {
    _TAG + "bool": (re.compile(r"(?:true|false)\Z"), lambda text: text == "true"),
    _TAG + "null": (re.compile(r"(?:null|~|)\Z"), lambda text: None),
    _TAG + "int": (re.compile(r"(?:0|-?[1-9][0-9]{0,17})\Z"), int),
    _TAG + "str": (re.compile(r""), str),
}


class _Composer(SafeLoader):
    """Text to nodes: types scalars by `_SCALARS` alone and stops at NESTING_MAX."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0

    def descend_resolver(self, current_node: yaml.Node | None, current_index: object) -> None:
        self._depth += 1
        if self._depth > NESTING_MAX:
            mark = current_node.start_mark if current_node else None
            raise yaml.MarkedYAMLError(problem=f"nested deeper than {NESTING_MAX} levels", problem_mark=mark)

    def ascend_resolver(self) -> None:
        self._depth -= 1


# None: whatever letter a scalar begins with.
_Composer.yaml_implicit_resolvers = {None: [(tag, pattern) for tag, (pattern, _) in _SCALARS.items()]}


@dataclass(frozen=True, slots=True)
class Document:
    """A file's content as JSON-like values, and the line (from 1) of each of them by its place."""

    path: Path
    value: dict[str, Value]
    lines: dict[Loc, int]

    def known(self, loc: Sequence[str | int]) -> Loc:
        """The part of `loc` that stands in the file. What does not (a missing field, a union's tag) is passed over."""
        found: Loc = ()
        for part in loc:
            if (*found, part) in self.lines:
                found = (*found, part)
        return found

    def error(self, loc: Sequence[str | int], reason: str) -> Rejected:
        """`FILE:LINE: PLACE: reason`, with the line of the last part of `loc` that stands in the file."""
        return _rejected(self.path, self.lines[self.known(loc)], loc, reason)


def parse(path: Path, text: str) -> Document:
    """Rejected, with file and line, for everything that is not a mapping of plain values."""
    try:
        node = _Composer(text).get_single_node()
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise Rejected(f"{path}:{line}: not YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        reason = str(error).splitlines()[0]
        raise Rejected(f"{path}: not YAML: {reason}") from None
    if not isinstance(node, yaml.MappingNode):
        raise Rejected(f"{path}:1: the file must hold a mapping (lines like `name: value`)")
    reading = _Reading(path, {}, set())
    return Document(path, reading.mapping(node, ()), reading.lines)


def shaped(document: Document, shape: type[S]) -> S:
    """The document as a frozen value. Rejected names the first thing that does not fit, by line.

    What is missing comes after what is there but wrong: often it is the same thing with a slip in its name.
    """
    try:
        return shape.model_validate_json(json.dumps(document.value), strict=True)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False)
    first = min(problems, key=lambda each: (each["type"] == "missing", document.lines[document.known(each["loc"])]))
    known = document.known(first["loc"])
    missing = first["loc"][-1:] if first["type"] == "missing" else ()
    more = f" (and {len(problems) - 1} more in this file)" if len(problems) > 1 else ""
    raise document.error((*known, *missing), _SAID.get(first["type"], first["msg"]) + more)


@dataclass(frozen=True, slots=True)
class _Reading:
    """Nodes to values. A node met twice was an alias."""

    path: Path
    lines: dict[Loc, int]
    met: set[int]

    def mapping(self, node: yaml.MappingNode, loc: Loc) -> dict[str, Value]:
        values: dict[str, Value] = {}
        self.lines.setdefault(loc, _line(node))
        for key_node, value_node in node.value:
            key = self.value(key_node, loc)
            if not isinstance(key, str):
                raise self.error(key_node, loc, "a name must be text; put it in quotes")
            place = (*loc, key)
            if key in values:
                raise self.error(key_node, place, f"given twice, first in line {self.lines[place]}")
            self.lines[place] = _line(key_node)
            values[key] = self.value(value_node, place)
        return values

    def sequence(self, node: yaml.SequenceNode, loc: Loc) -> list[Value]:
        values: list[Value] = []
        for number, item in enumerate(node.value):
            self.lines[*loc, number] = _line(item)
            values.append(self.value(item, (*loc, number)))
        return values

    def value(self, node: yaml.Node, loc: Loc) -> Value:
        if id(node) in self.met:
            raise self.error(node, loc, "anchors and aliases are not taken here; write it out")
        self.met.add(id(node))
        match node:
            case yaml.MappingNode(tag=tag) if tag == _TAG + "map":
                return self.mapping(node, loc)
            case yaml.SequenceNode(tag=tag) if tag == _TAG + "seq":
                return self.sequence(node, loc)
            case yaml.ScalarNode(tag=tag) if tag in _SCALARS and _SCALARS[tag][0].match(node.value):
                return _SCALARS[tag][1](node.value)
        raise self.error(node, loc, f"tag {node.tag.replace(_TAG, '!!')} is not taken here")

    def error(self, node: yaml.Node, loc: Loc, reason: str) -> Rejected:
        return _rejected(self.path, _line(node), loc, reason)


def _rejected(path: Path, line: int, loc: Sequence[str | int], reason: str) -> Rejected:
    place = ".".join(str(part) for part in loc)
    return Rejected(f"{path}:{line}: {place}: {reason}" if place else f"{path}:{line}: {reason}")


def _line(node: yaml.Node) -> int:
    line: int = node.start_mark.line
    return line + 1
