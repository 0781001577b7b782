-- One status table for every kind of workflow; details has the columns of a kind. The views have the columns of the
-- former tables of a kind, for people. A timeline entry names the request that was accepted, and the run that it
-- started or was attached to.
create table sluice_workflow_runs (
    run_id text primary key,
    kind text not null,
    workflow text not null,
    parent_run_id text not null,
    org text not null,
    status text not null,
    reason text not null,
    started_at timestamptz not null,
    ended_at timestamptz,
    details jsonb not null,
    epoch bigint not null,
    seq bigint not null,
    state jsonb not null,
    superseded_by text
) with (fillfactor = 50);
comment on table sluice_workflow_runs is
    'The newest state of every run in the journal. Written by the projector alone; a row is replaced only by one with '
    'a higher (epoch, seq). state is JSON. superseded_by is the id of the run that replaced this one before its end.';

insert into sluice_workflow_runs
select run_id, 'main-sync', workflow, '', org, status, reason, started_at, ended_at,
    jsonb_build_object(
        'adapter', adapter, 'type', type, 'request', request, 'pages', pages, 'records', records, 'rejected', rejected
    ),
    generation, seq, state, superseded_by
from sluice_sync_runs
union all
select run_id, 'entity-sync', workflow, sync_run_id, org, status, reason, started_at, ended_at,
    jsonb_build_object(
        'adapter', adapter, 'entity', entity, 'type', type, 'error', error, 'units', units, 'total_units', total_units,
        'pages', pages, 'records', records, 'rejected', rejected
    ),
    generation, seq, state, superseded_by
from sluice_entity_runs;

alter table sluice_timeline rename column note to event;
alter table sluice_timeline add column request_id text not null default '';
alter table sluice_timeline add column run_id text not null default '';
update sluice_timeline set request_id = run.request, run_id = run.run_id
from sluice_sync_runs as run where run.workflow = sluice_timeline.workflow and run.started_at = sluice_timeline.at;
create index sluice_timeline_by_request on sluice_timeline (request_id) where request_id <> '';

drop table sluice_sync_runs;
drop table sluice_entity_runs;

create index sluice_workflow_runs_by_start on sluice_workflow_runs (kind, started_at);
create index sluice_workflow_runs_by_workflow on sluice_workflow_runs (workflow);
create index sluice_workflow_runs_by_parent on sluice_workflow_runs (parent_run_id) where parent_run_id <> '';

create view sluice_sync_runs as
select run_id, workflow, org, details ->> 'adapter' as adapter, details ->> 'type' as type,
    details ->> 'request' as request, status, reason, started_at, ended_at, (details ->> 'pages')::bigint as pages,
    (details ->> 'records')::bigint as records, (details ->> 'rejected')::bigint as rejected, epoch, seq, state,
    superseded_by
from sluice_workflow_runs where kind = 'main-sync';

create view sluice_entity_runs as
select run_id, workflow, parent_run_id as sync_run_id, org, details ->> 'adapter' as adapter,
    details ->> 'entity' as entity, details ->> 'type' as type, status, reason, details ->> 'error' as error,
    started_at, ended_at, (details ->> 'units')::bigint as units, (details ->> 'total_units')::bigint as total_units,
    (details ->> 'pages')::bigint as pages, (details ->> 'records')::bigint as records,
    (details ->> 'rejected')::bigint as rejected, epoch, seq, state, superseded_by
from sluice_workflow_runs where kind = 'entity-sync';

alter function sluice_grant rename to sluice_open_leases;
comment on function sluice_open_leases is
    'Opens runs; returns their states and sums, and the lines of open ones: one row per request (from 1) and line.';
