-- What the journal says of every run, for people and their queries. Written by the projector alone; a row is replaced
-- only by one with a higher (generation, seq). state is the whole record as JSON.
create table sluice_sync_runs (
    run_id text primary key,
    workflow text not null,
    org text not null,
    adapter text not null,
    type text not null,
    request text not null,
    status text not null,
    reason text not null,
    started_at text not null,
    ended_at text,
    pages integer not null,
    records integer not null,
    rejected integer not null,
    generation integer not null,
    seq integer not null,
    state text not null
) without rowid;
create index sluice_sync_runs_by_start on sluice_sync_runs (started_at);
create index sluice_sync_runs_by_workflow on sluice_sync_runs (workflow);
create index sluice_sync_runs_by_request on sluice_sync_runs (request);

create table sluice_entity_runs (
    run_id text primary key,
    workflow text not null,
    sync_run_id text not null,
    org text not null,
    adapter text not null,
    entity text not null,
    type text not null,
    status text not null,
    reason text not null,
    error text not null,
    started_at text not null,
    ended_at text,
    units integer not null,
    total_units integer,
    pages integer not null,
    records integer not null,
    rejected integer not null,
    generation integer not null,
    seq integer not null,
    state text not null
) without rowid;
create index sluice_entity_runs_by_sync on sluice_entity_runs (sync_run_id);

-- The notable transitions of every workflow, in their order.
create table sluice_timeline (
    workflow text not null,
    at text not null,
    seq integer not null,
    cause text not null,
    note text not null,
    primary key (workflow, at, seq, cause)
) without rowid;
