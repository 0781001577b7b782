"""A directory of files: read whole, in order, or rejected at the first bad file."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from manifests.checks import ENTITIES_MAX
from manifests.document import FILE_BYTES_MAX
from manifests.loader import load, load_packaged, load_with
from topics.errors import Rejected

ADAPTER = """\
name: demo
title: Demo
base_url: https://api.example.org
body: {records: data}
size_max: 50
limit: {requests: 1, seconds: 1}
products:
  shop: {title: Shop, headers: {X-Version: 2025-01-01, X-Kind: a}}
"""
SMALL = "paging: {style: offset, size: 50}\n"
ORDER = f"name: shop.order\npath: /orders\n{SMALL}headers: {{X-Kind: b}}\n"
LINE = f"name: shop.line\npath: /orders/{{id}}/lines\n{SMALL}under: {{entity: shop.order, column: order_id}}\n"
FILES = {"demo/adapter.yaml": ADAPTER, "demo/shop/order.yaml": ORDER, "demo/shop/line.yaml": LINE}


def write(directory: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return directory


def rejection(directory: Path, files: Mapping[str, str]) -> str:
    with pytest.raises(Rejected) as caught:
        load(write(directory, files))
    return str(caught.value)


def test_adapters_and_entities_come_in_sorted_order(tmp_path: Path) -> None:
    other = {"b/adapter.yaml": ADAPTER.replace("demo", "b"), "b/shop/order.yaml": ORDER}
    catalog = load(write(tmp_path, {**FILES, **other}))
    assert list(catalog.adapters) == ["b", "demo"]
    assert list(catalog.adapter("demo").entities) == ["shop.line", "shop.order"]


def test_an_entity_has_its_products_headers_and_its_own_win(tmp_path: Path) -> None:
    catalog = load(write(tmp_path, FILES))
    assert catalog.entity("demo", "shop.order").headers == {"X-Version": "2025-01-01", "X-Kind": "b"}


def test_other_files_and_hidden_ones_are_passed_over(tmp_path: Path) -> None:
    others = {"README.md": "", "schema.json": "", "demo/notes.txt": "", "demo/_old/x.yaml": "-", ".git/x.yaml": "-"}
    assert list(load(write(tmp_path, {**FILES, **others})).adapters) == ["demo"]


def test_an_unknown_adapter_or_entity_is_rejected_with_what_there_is(tmp_path: Path) -> None:
    catalog = load(write(tmp_path, FILES))
    with pytest.raises(Rejected, match="there is no adapter 'nope'; there are: demo"):
        catalog.adapter("nope")
    with pytest.raises(Rejected, match=r"adapter demo has no entity 'shop\.nope'; `sluice manifests show demo`"):
        catalog.entity("demo", "shop.nope")


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("demo/shop/order.yaml", "path: /x\nname: shop.line\n", "order.yaml:2: name: is 'shop.line', the file's path"),
        ("demo/adapter.yaml", ADAPTER.replace("demo", "demon"), "adapter.yaml:1: name: is 'demon', its directory"),
        ("demo/shop/order.yml", ORDER, "order.yml: the ending must be .yaml"),
        ("demo/shop/deep/x.yaml", ORDER, "shop/deep: too deep"),
        ("demo/order.yaml", ORDER, "demo/order.yaml: nobody would read this file here"),
        ("order.yaml", ORDER, "order.yaml: nobody would read this file here"),
        ("other/README.md", "", "other: has no adapter.yaml; each directory of"),
        ("demo/shop/order.yaml", "#" * (FILE_BYTES_MAX + 1), f"order.yaml: has more than {FILE_BYTES_MAX} bytes"),
        ("demo/shop/order.yaml", ORDER + "feilds: {}\n", "order.yaml:5: feilds: there is no such field"),
        (
            "demo/shop/order.yaml",
            f"{ORDER}references:\n  line_id:\n    entity: shop.line\n    from: x\n    required: true\n",
            "line.yaml:4: under.entity: hard dependencies form a cycle: shop.line -> shop.order -> shop.line",
        ),
        ("demo/adapter.yaml", ADAPTER + "  none: {title: None}\n", "adapter.yaml:9: products.none: no entity is of"),
    ],
)
def test_a_bad_file_is_rejected_with_its_name_line_and_reason(
    tmp_path: Path, name: str, text: str, expected: str
) -> None:
    assert expected in rejection(tmp_path, {**FILES, name: text})


def test_the_first_bad_file_in_sorted_order_is_reported(tmp_path: Path) -> None:
    bad = {"demo/shop/order.yaml": "no: 1\n", "demo/shop/line.yaml": "no: 1\n"}
    assert "line.yaml:1: " in rejection(tmp_path, {**FILES, **bad})


def test_text_that_is_not_utf_8_is_rejected_with_its_line(tmp_path: Path) -> None:
    write(tmp_path, FILES)
    (tmp_path / "demo/shop/line.yaml").write_bytes(b"name: a\npath: \xff\n")
    with pytest.raises(Rejected, match=r"line\.yaml:2: is not UTF-8 text"):
        load(tmp_path)


def test_one_entity_too_many_is_rejected(tmp_path: Path) -> None:
    many = {f"demo/shop/e{n}.yaml": f"name: shop.e{n}\npath: /x\n{SMALL}" for n in range(ENTITIES_MAX - 1)}
    assert f"an adapter has at most {ENTITIES_MAX}" in rejection(tmp_path, {**FILES, **many})


def test_a_directory_without_adapters_is_rejected(tmp_path: Path) -> None:
    assert "holds 0 adapters" in rejection(tmp_path, {})


def test_a_directory_that_is_not_there_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(Rejected, match="nowhere: cannot be read as a directory of manifests: No such file"):
        load(tmp_path / "nowhere")


def test_one_adapters_directory_is_rejected_with_the_right_one(tmp_path: Path) -> None:
    write(tmp_path, FILES)
    with pytest.raises(Rejected, match=f"is one adapter; name the directory that holds it: {tmp_path}$"):
        load(tmp_path / "demo")


def test_adapters_of_ones_own_stand_beside_the_packaged_ones(tmp_path: Path) -> None:
    assert sorted(load_with(write(tmp_path, FILES)).adapters) == ["demo", "pco"]
    assert load_with(None) is load_packaged()


def test_an_adapter_under_a_name_that_sluice_comes_with_is_rejected(tmp_path: Path) -> None:
    files = {name.replace("demo/", "pco/"): text.replace("name: demo", "name: pco") for name, text in FILES.items()}
    with pytest.raises(Rejected, match="holds pco, which Sluice comes with"):
        load_with(write(tmp_path, files))
