"""Adapters that read the packaged people.person alone, by offset and by link."""

from pathlib import Path

import yaml

from tests.support.house import ROOT

PACKAGED = ROOT / "manifests" / "pco"
ENTITY = "people.person"
PRODUCT, TYPE = ENTITY.split(".")
STYLES = ("offset", "link")  # of paging, and the adapters' names


def write_adapters(directory: Path) -> Path:
    """In a directory of manifests."""
    for style in STYLES:
        adapter = yaml.safe_load((PACKAGED / "adapter.yaml").read_text())
        products = {PRODUCT: adapter["products"][PRODUCT]}
        _write(directory / style / "adapter.yaml", {**adapter, "name": style, "title": style, "products": products})
        entity = yaml.safe_load((PACKAGED / PRODUCT / f"{TYPE}.yaml").read_text())
        del entity["references"]  # to entities that are not here
        _write(directory / style / PRODUCT / f"{TYPE}.yaml", {**entity, "paging": {"style": style, "size": 100}})
    return directory


def _write(path: Path, document: dict[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(document, sort_keys=False))
