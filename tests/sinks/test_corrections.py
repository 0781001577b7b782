"""A manifest that changes: its columns are filled, or made anew, by the next full run. For every sink."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agents.ports import PageOutcome, Sink
from agents.records.reader import read_page
from manifests.entity import Entity
from service.cli.manifests import app
from service.sinks.sink import SqlSink
from tests.sinks.builders import CONTACT, TYPED, adapter, commit, open_lease, page, row, run, write
from tests.sinks.conftest import Database
from topics.errors import Rejected

RECORDS = [{"id": "a", "name": "Ann", "age": 7}, {"id": "b", "name": "Bob", "age": 8}]
ENTITY_YAML = """name: book.contact
path: /contacts
fields:
  name: {{type: {type}, from: name}}
"""
ADAPTER_YAML = """name: book
title: Address book
base_url: https://book.example
body: {records: data}
limit: {requests: 1, seconds: 1}
"""


def contact_with(**types: str) -> Entity:
    fields = {name: {"type": type_, "from": name} for name, type_ in types.items()}
    return Entity.model_validate({"name": CONTACT.name, "path": CONTACT.path, "fields": fields})


async def sync(sink: Sink, entity: Entity, number: int, org: str = "acme") -> PageOutcome:
    """A full run that reads the same records each time."""
    rows = read_page(json.dumps({"data": RECORDS}).encode(), adapter(entity).file, entity).rows
    of = run(number, org)
    await open_lease(sink, of)
    return (await commit(sink, page(of, 1, *rows, entity=entity)))[0]


async def correct(sink: Sink, entity: Entity) -> list[str]:
    """The columns that were made anew."""
    assert isinstance(sink, SqlSink)
    found = await sink.corrections(adapter(entity))
    for one in found:
        await sink.correct(one)
    return [one.column for one in found]


async def test_a_new_column_is_filled_by_the_next_full_run_though_no_record_has_changed(
    sink: Sink, database: Database
) -> None:
    wider = contact_with(name="text", age="integer")
    await sync(sink, contact_with(name="text"), 1)
    assert await sink.prepare(adapter(wider)) == {}
    await sync(sink, wider, 2)
    assert await database.query("select id, age from book_book_contact order by id") == [("a", 7), ("b", 8)]


async def test_a_corrected_source_is_read_by_the_next_full_run(sink: Sink, database: Database) -> None:
    await sync(sink, contact_with(name="text"), 1)
    fields = {"name": {"type": "text", "from": "age"}}
    await sync(sink, Entity.model_validate({"name": CONTACT.name, "path": CONTACT.path, "fields": fields}), 2)
    assert await database.query("select name from book_book_contact order by id") == [("7",), ("8",)]


async def test_a_column_of_another_type_is_made_anew_and_filled_by_each_organisations_next_full_run(
    sink: Sink, database: Database
) -> None:
    before, after = contact_with(name="text", age="text"), contact_with(name="text", age="integer")
    await sink.prepare(adapter(before))
    for org in ("acme", "other"):
        await sync(sink, before, 1, org)
    assert list(await sink.prepare(adapter(after))) == ["book.contact"]
    assert await correct(sink, after) == ["age"]
    assert await sink.prepare(adapter(after)) == {}
    await sync(sink, after, 2)
    found = await database.query("select org, name, age from book_book_contact order by org, id")
    assert found == [("acme", "Ann", 7), ("acme", "Bob", 8), ("other", "Ann", None), ("other", "Bob", None)]
    assert await correct(sink, after) == []


async def test_a_column_that_two_people_correct_at_once_is_made_anew_once(sink: Sink, database: Database) -> None:
    after = contact_with(name="text", age="integer")
    await sink.prepare(adapter(contact_with(name="text", age="text")))
    assert isinstance(sink, SqlSink)
    (correction,) = await sink.corrections(adapter(after))
    await sink.correct(correction)
    await sync(sink, after, 1)
    await sink.correct(correction)
    assert await database.query("select age from book_book_contact order by id") == [(7,), (8,)]


async def test_a_column_that_something_of_the_owners_uses_is_not_touched(sink: Sink, database: Database) -> None:
    is_postgres = database.url.startswith("postgres")
    await database.query(
        "create view names as select name from book_book_contact"
        if is_postgres
        else "create index names on book_book_contact (name)"
    )
    with pytest.raises(Rejected, match="column name of table book_book_contact cannot be made anew: a view, an index"):
        await correct(sink, contact_with(name="integer"))
    await write(sink, run(), row("a", "Ann"))


async def test_a_table_of_somebody_else_is_not_corrected(database: Database) -> None:
    sink = database.open()
    await sink.prepare(adapter(TYPED))
    await database.query("create table book_book_contact (id integer, name text)")
    assert await correct(sink, contact_with(name="integer")) == []


def test_the_command_shows_what_it_does_asks_and_does_it(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entity = tmp_path / "own" / "book" / "book" / "contact.yaml"
    entity.parent.mkdir(parents=True)
    (tmp_path / "own" / "book" / "adapter.yaml").write_text(ADAPTER_YAML)
    monkeypatch.setenv("SLUICE_SINK", url)
    monkeypatch.setenv("SLUICE_MANIFESTS", str(tmp_path / "own"))

    def apply(type_: str, answer: str, *more: str) -> tuple[int, str]:
        entity.write_text(ENTITY_YAML.format(type=type_))
        done = CliRunner().invoke(app, ["apply", *more], input=answer)
        return done.exit_code, done.output

    assert apply("text", "") == (0, "All tables are as the manifests say.\n")
    refused, shown = apply("integer", "n\n")
    assert (refused, shown.splitlines()[0]) != (0, "")
    assert "book_book_contact: name is text, and becomes" in shown
    assert "All tables" not in shown
    assert apply("text", "")[0] == 0
    done, shown = apply("integer", "y\n")
    assert (done, shown.splitlines()[-1]) == (0, "All tables are as the manifests say.")
    assert apply("text", "", "--yes")[0] == 0
