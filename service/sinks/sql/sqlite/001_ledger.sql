-- Runs (the fence), pages (the ledger) and rejected records. Times are ISO 8601 in UTC, with microseconds.

-- One line per run of an entity. Only an open run may write; the newest run of a workflow is the only open one.
-- pages, records and rejected are the sums of the ledger lines that were folded away when the run was finished.
create table sluice_runs (
    run_id text primary key,
    workflow text not null,
    number integer not null,
    org text not null,
    adapter text not null,
    entity text not null,
    type text not null,
    state text not null check (state in ('open', 'done', 'failed', 'cancelled', 'superseded')),
    opened_at text not null,
    closed_at text,
    pages integer not null default 0,
    records integer not null default 0,
    rejected integer not null default 0,
    unique (workflow, number)
) without rowid;

-- The ledger: one line per committed page of a run that is not finished. parent is empty at the top level.
create table sluice_pages (
    run_id text not null,
    parent text not null,
    page integer not null,
    records integer not null,
    rejected integer not null,
    is_last integer not null,
    next_cursor text,
    committed_at text not null,
    primary key (run_id, parent, page)
) without rowid;

-- Records that could not be stored as rows: the newest rejection of each.
-- place is empty, or parent/page/position for a record without a key.
create table rejected_records (
    org text not null,
    adapter text not null,
    entity text not null,
    record_key text not null,
    place text not null,
    run_id text not null,
    parent text not null,
    page integer not null,
    reason text not null,
    raw text not null,
    rejected_at text not null,
    primary key (org, adapter, entity, record_key, place)
);
