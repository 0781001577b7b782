-- One status table for every kind of workflow; details has the columns of a kind. The views have the columns of the
-- former tables of a kind, for people. A timeline entry names the request that was accepted, and the run that it
-- started or was attached to. A row is replaced only by one with a higher (epoch, seq).
create table sluice_workflow_runs (
    run_id text primary key,
    kind text not null,
    workflow text not null,
    parent_run_id text not null,
    org text not null,
    status text not null,
    reason text not null,
    started_at text not null,
    ended_at text,
    details text not null,
    epoch integer not null,
    seq integer not null,
    state text not null,
    superseded_by text
) without rowid;

insert into sluice_workflow_runs
select run_id, 'main-sync', workflow, '', org, status, reason, started_at, ended_at,
    json_object(
        'adapter', adapter, 'type', type, 'request', request, 'pages', pages, 'records', records, 'rejected', rejected
    ),
    generation, seq, state, superseded_by
from sluice_sync_runs
union all
select run_id, 'entity-sync', workflow, sync_run_id, org, status, reason, started_at, ended_at,
    json_object(
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
select run_id, workflow, org, json_extract(details, '$.adapter') as adapter, json_extract(details, '$.type') as type,
    json_extract(details, '$.request') as request, status, reason, started_at, ended_at,
    json_extract(details, '$.pages') as pages, json_extract(details, '$.records') as records,
    json_extract(details, '$.rejected') as rejected, epoch, seq, state, superseded_by
from sluice_workflow_runs where kind = 'main-sync';

create view sluice_entity_runs as
select run_id, workflow, parent_run_id as sync_run_id, org, json_extract(details, '$.adapter') as adapter,
    json_extract(details, '$.entity') as entity, json_extract(details, '$.type') as type, status, reason,
    json_extract(details, '$.error') as error, started_at, ended_at, json_extract(details, '$.units') as units,
    json_extract(details, '$.total_units') as total_units, json_extract(details, '$.pages') as pages,
    json_extract(details, '$.records') as records, json_extract(details, '$.rejected') as rejected, epoch, seq, state,
    superseded_by
from sluice_workflow_runs where kind = 'entity-sync';
