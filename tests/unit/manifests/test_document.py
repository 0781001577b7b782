"""One YAML file: what is taken, what is rejected, and that each rejection names its line."""

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manifests.document import FILE_BYTES_MAX, NESTING_MAX, Document, parse, shaped
from manifests.entity import Entity
from topics.errors import Rejected

PATH = Path("people/person.yaml")


def read(text: str) -> Document:
    return parse(PATH, text)


def entity(text: str) -> Entity:
    return shaped(read(text), Entity)


def rejection(text: str) -> str:
    with pytest.raises(Rejected) as caught:
        entity(text)
    return str(caught.value)


def test_a_date_a_version_and_yes_stay_text_and_numbers_truth_and_nothing_have_their_types() -> None:
    text = {"a": "2025-11-10", "b": "1.20", "c": "yes", "d": "0x10", "e": "12:30"}
    assert read("".join(f"{name}: {value}\n" for name, value in text.items())).value == text
    typed = {"a": 7, "b": True, "c": None, "d": None, "e": None, "f": "7", "g": [1, "x"]}
    assert read('a: 7\nb: true\nc: null\nd: ~\ne:\nf: "7"\ng: [1, x]\n').value == typed


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name: a.b\nname: a.c\n", "people/person.yaml:2: name: given twice, first in line 1"),
        ("fields:\n  x: {}\n  y: {}\n  x: {}\n", "people/person.yaml:4: fields.x: given twice, first in line 2"),
        ("a: &x {b: 1}\nc: *x\n", "people/person.yaml:1: c: anchors and aliases are not taken here; write it out"),
        ("a: &x [*x]\n", "people/person.yaml:1: a.0: anchors and aliases are not taken here; write it out"),
        ("a: 1\nb: !!python/name:os.system x\n", "people/person.yaml:2: b: tag !!python/name:os.system is not taken"),
        ("a: !!int x\n", "people/person.yaml:1: a: tag !!int is not taken here"),
        ("? [1]\n: 2\n", "people/person.yaml:1: a name must be text; put it in quotes"),
        ("a: 1\n2: b\n", "people/person.yaml:2: a name must be text; put it in quotes"),
        ("- a\n", "people/person.yaml:1: the file must hold a mapping"),
        ("", "people/person.yaml:1: the file must hold a mapping"),
        ("a: [1,\nb: 2\n", "people/person.yaml:3: not YAML: did not find expected"),
        ("a: 1\n--- \nb: 2\n", "people/person.yaml:2: not YAML: but found another document"),
        ("a: \x01\n", "people/person.yaml: not YAML: "),
    ],
)
def test_what_would_surprise_is_rejected_with_its_line(text: str, expected: str) -> None:
    assert expected in rejection(text)


def test_nesting_is_bounded_before_the_parser_runs_out_of_stack() -> None:
    assert f"nested deeper than {NESTING_MAX} levels" in rejection("a: " + "[" * (FILE_BYTES_MAX - 3))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name: a.b\npath: /b\nfeilds: {}\n", "person.yaml:3: feilds: there is no such field"),
        ("name: a.b\n", "person.yaml:1: path: is missing"),
        ("name: a.b\npath: /b\nfields:\n  x:\n    type: text\n", "person.yaml:4: fields.x.from: is missing"),
        (
            "name: a.b\npath: /b\nfields:\n  x:\n    from: x\n    type: string\n",
            "person.yaml:6: fields.x.type: Input should be 'text', 'integer', ",
        ),
        ("name: a.b\npath: /b\nkey: [id, 7]\n", "person.yaml:3: key.1: Input should be a valid string"),
        ("name: a.b\npath: /b\npaging:\n  style: link\n  size: 0\n", "person.yaml:5: paging.size: Input should be "),
        ("name: a.b\npath: /b\npaging: {size: 10}\n", "person.yaml:3: paging: must say its style"),
        ("name: a.b\npath: /b\nfields:\n  X: {type: text, from: x}\n", "person.yaml:4: fields.X: String should match"),
        ("name: a.b\npath: /b\nheaders: {A: 1}\n", "person.yaml:3: headers.A: Input should be a valid string"),
        ('name: a.b\npath: /b\npaging: {style: link, size: "9"}\n', "person.yaml:3: paging.size: Input should be "),
    ],
)
def test_what_does_not_fit_is_named_with_its_line_and_place(text: str, expected: str) -> None:
    assert expected in rejection(text)


def test_of_several_problems_the_first_is_reported_and_the_others_are_counted() -> None:
    assert rejection("name: a.b\nzzz: 1\npath: b\naaa: 2\n").endswith(
        "person.yaml:2: zzz: there is no such field (and 2 more in this file)"
    )


@given(st.text(max_size=200) | st.text("[]{}:,-&*!?|>'\"%@#\n\t ab01", max_size=60))
def test_any_text_is_read_or_rejected(text: str) -> None:
    with suppress(Rejected):
        document = read(text)
        assert all(1 <= line <= len(text) for line in document.lines.values())
