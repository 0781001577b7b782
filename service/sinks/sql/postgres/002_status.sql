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
    started_at timestamptz not null,
    ended_at timestamptz,
    pages bigint not null,
    records bigint not null,
    rejected bigint not null,
    generation bigint not null,
    seq bigint not null,
    state jsonb not null
);
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
    started_at timestamptz not null,
    ended_at timestamptz,
    units bigint not null,
    total_units bigint,
    pages bigint not null,
    records bigint not null,
    rejected bigint not null,
    generation bigint not null,
    seq bigint not null,
    state jsonb not null
);
create index sluice_entity_runs_by_sync on sluice_entity_runs (sync_run_id);

-- The notable transitions of every workflow, in their order.
create table sluice_timeline (
    workflow text not null,
    at timestamptz not null,
    seq bigint not null,
    cause text not null,
    note text not null,
    primary key (workflow, at, seq, cause)
);
