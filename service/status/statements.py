"""The SQL of the status tables, for any database that takes its parameters its own way. Pure."""

from collections.abc import Callable, Sequence

from service.status.rows import ENTITY_COLUMNS, SYNC_COLUMNS, TIMELINE_COLUMNS

Placeholder = Callable[[int], str]
Source = Callable[[Sequence[str]], str]  # from columns to what an insert takes its rows from

RUNS_LISTED_MAX = 200
RUN_TABLES = ("sluice_sync_runs", "sluice_entity_runs")


def upsert_syncs(source: Source) -> str:
    return _newer_only("sluice_sync_runs", SYNC_COLUMNS, source)


def upsert_entities(source: Source) -> str:
    return _newer_only("sluice_entity_runs", ENTITY_COLUMNS, source)


def insert_timeline(source: Source) -> str:
    return _insert("sluice_timeline", TIMELINE_COLUMNS, source) + " on conflict do nothing"


def _insert(table: str, columns: Sequence[str], source: Source) -> str:
    return f"insert into {table} ({', '.join(columns)}) {source(columns)}"


def _newer_only(table: str, columns: Sequence[str], source: Source) -> str:
    changes = ", ".join(f"{column} = excluded.{column}" for column in columns if column != "run_id")
    changes += ", superseded_by = null"
    return (
        f"{_insert(table, columns, source)} on conflict (run_id) do update set {changes} "
        f"where (excluded.generation, excluded.seq) > ({table}.generation, {table}.seq)"
    )


def supersede(table: str, of_workflows: str) -> str:
    """Every run that has not ended, of the workflows that the condition names, and is not the newest one of its own."""
    newest = (
        f"select newest.run_id from {table} as newest where newest.workflow = {table}.workflow "
        "order by newest.generation desc, newest.seq desc limit 1"
    )
    return (
        f"update {table} set superseded_by = ({newest}) "
        f"where {of_workflows} and ended_at is null and superseded_by is null and run_id <> ({newest})"
    )


def select_newest_syncs() -> str:
    return (
        "select state, generation, seq from sluice_sync_runs where superseded_by is null "
        f"order by started_at desc limit {RUNS_LISTED_MAX}"
    )


def select_syncs(placeholder: Placeholder) -> str:
    """The runs with the run id, workflow or request that the one parameter names, the newest first."""
    given = placeholder(1)
    return (
        f"select state, generation, seq from sluice_sync_runs "
        f"where run_id = {given} or ((workflow = {given} or request = {given}) and superseded_by is null) "
        f"order by started_at desc limit {RUNS_LISTED_MAX}"
    )


def select_entities(placeholder: Placeholder) -> str:
    return (
        "select state, generation, seq from sluice_entity_runs "
        f"where sync_run_id = {placeholder(1)} and superseded_by is null order by entity"
    )


def select_timeline(placeholder: Placeholder) -> str:
    return (
        f"select seq, at, cause, note from sluice_timeline where workflow = {placeholder(1)} "
        f"order by at desc, seq desc limit {RUNS_LISTED_MAX}"
    )
