"""What a table of an entity looks like and where its pages are, from the manifests as documents (docs/manifests.md)."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import msgspec
import yaml

CONVERTER_VERSION = 1
MANIFESTS = Path(__file__).resolve().parents[2] / "manifests"


OVERLAP = 2  # records that a page of an ordered list shares with the one before


@dataclass(frozen=True, slots=True)
class Column:
    """A typed column and the path in a record that it comes from."""

    name: str
    type: str
    path: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """One entity: its table, its columns, its paths. `parent_column` is "" where it is not read under a parent.

    `specification` is the digest of how a record becomes a row: 16 bytes of BLAKE2b over the JSON of [version of the
    converter, [[name, type, path] of each column, the parent's first, with no path], path of the time or null].
    """

    adapter: str
    entity: str
    table: str
    columns: tuple[Column, ...]
    parent_column: str
    is_parent_in_key: bool
    key: tuple[tuple[str, ...], ...]
    updated_at: tuple[str, ...]
    specification: bytes
    path: re.Pattern[str]
    stride: int  # from the beginning of one page to that of the next
    include: str = ""  # what its pages are requested with

    def place(self, path: str, query: str) -> tuple[str, int] | None:
        """Parent and number of a page by its address; None if it is no page of this entity, or a repair between two."""
        found = self.path.fullmatch(path)
        asked = parse_qs(query)
        if found is None or not asked.get("offset", ["0"])[0].isdigit():
            return None
        parent = found["id"] if self.parent_column else ""
        number, rest = divmod(int(asked.get("offset", ["0"])[0]), self.stride)
        return None if rest else (parent, number + 1)


def read_layouts(adapter: str, directory: Path = MANIFESTS) -> dict[str, Layout]:
    """By entity, in the order of their names."""
    files = sorted((directory / adapter).glob("*/*.yaml"))
    layouts = (layout_of(adapter, yaml.safe_load(file.read_text(encoding="utf-8"))) for file in files)
    return {layout.entity: layout for layout in layouts}


def layout_of(adapter: str, document: dict[str, Any]) -> Layout:
    name = document["name"]
    references = document.get("references", {})
    fields = document.get("fields", {})
    columns = [Column(column, "text", _path(place["from"])) for column, place in references.items()]
    columns += [Column(column, place["type"], _path(place["from"])) for column, place in fields.items()]
    return Layout(
        adapter=adapter,
        entity=name,
        table=f"{adapter}_{name.replace('.', '_')}",
        columns=tuple(columns),
        parent_column=document.get("under", {}).get("column", ""),
        is_parent_in_key=document.get("under", {}).get("key", False),
        key=tuple(_path(key) for key in document.get("key", ["id"])),
        updated_at=_path(document["updated_at"]) if "updated_at" in document else (),
        specification=_specification(document),
        path=_pattern(document["path"]),
        stride=_stride(document),
        include=_full(document).get("query", {}).get("include", ""),
    )


def _full(document: dict[str, Any]) -> dict[str, Any]:
    full: dict[str, Any] = document.get("reads", {}).get("full", {})
    return full


def _stride(document: dict[str, Any]) -> int:
    size: int = document.get("paging", {}).get("size", 100)
    is_ordered = "order" in _full(document)
    return size - OVERLAP if is_ordered else size


def _specification(document: dict[str, Any]) -> bytes:
    columns = [[document["under"]["column"], "text", ""]] if "under" in document else []
    columns += [[name, "text", place["from"]] for name, place in document.get("references", {}).items()]
    columns += [[name, place["type"], place["from"]] for name, place in document.get("fields", {}).items()]
    written = msgspec.json.encode([CONVERTER_VERSION, columns, document.get("updated_at")])
    return hashlib.blake2b(written, digest_size=16).digest()


def _path(dotted: str) -> tuple[str, ...]:
    return tuple(dotted.split("."))


def _pattern(path: str) -> re.Pattern[str]:
    """{id} is the parent's key; whatever else is in braces is something of the parent's."""
    parts = re.split(r"\{([a-z0-9_]+)\}", path)
    written = [_segment(part) if n % 2 else re.escape(part) for n, part in enumerate(parts)]
    return re.compile("".join(written))


def _segment(name: str) -> str:
    return "(?P<id>[^/]+)" if name == "id" else "[^/]+"
