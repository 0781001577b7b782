"""The SQL of the status tables, for any database that numbers its parameters its own way. Pure."""

from collections.abc import Callable, Sequence

from service.status.rows import ENTITY_COLUMNS, SYNC_COLUMNS, TIMELINE_COLUMNS

Placeholder = Callable[[int], str]

RUNS_LISTED_MAX = 200


def upsert_syncs(placeholder: Placeholder) -> str:
    return _newer_only("sluice_sync_runs", SYNC_COLUMNS, placeholder)


def upsert_entities(placeholder: Placeholder) -> str:
    return _newer_only("sluice_entity_runs", ENTITY_COLUMNS, placeholder)


def insert_timeline(placeholder: Placeholder) -> str:
    return _insert("sluice_timeline", TIMELINE_COLUMNS, placeholder) + " on conflict do nothing"


def _insert(table: str, columns: Sequence[str], placeholder: Placeholder) -> str:
    values = ", ".join(placeholder(number) for number in range(1, len(columns) + 1))
    return f"insert into {table} ({', '.join(columns)}) values ({values})"


def _newer_only(table: str, columns: Sequence[str], placeholder: Placeholder) -> str:
    changes = ", ".join(f"{column} = excluded.{column}" for column in columns if column != "run_id")
    return (
        f"{_insert(table, columns, placeholder)} on conflict (run_id) do update set {changes} "
        f"where (excluded.generation, excluded.seq) > ({table}.generation, {table}.seq)"
    )


def select_newest_syncs() -> str:
    return f"select state, generation, seq from sluice_sync_runs order by started_at desc limit {RUNS_LISTED_MAX}"


def select_syncs(placeholder: Placeholder) -> str:
    """The runs with the run id, workflow or request that the one parameter names, the newest first."""
    given = placeholder(1)
    return (
        f"select state, generation, seq from sluice_sync_runs "
        f"where run_id = {given} or workflow = {given} or request = {given} "
        f"order by started_at desc limit {RUNS_LISTED_MAX}"
    )


def select_entities(placeholder: Placeholder) -> str:
    return f"select state, generation, seq from sluice_entity_runs where sync_run_id = {placeholder(1)} order by entity"


def select_timeline(placeholder: Placeholder) -> str:
    return (
        f"select seq, at, cause, note from sluice_timeline where workflow = {placeholder(1)} "
        f"order by at desc, seq desc limit {RUNS_LISTED_MAX}"
    )
