-- Published state in PostgreSQL. Rows are passed as one array per column.

-- name: upsert_runs
insert into sluice_workflow_runs
    (run_id, kind, workflow, parent_run_id, org, status, reason, started_at, ended_at, details, epoch, seq, state)
select * from unnest(
    $1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::timestamptz[],
    $9::timestamptz[], $10::jsonb[], $11::bigint[], $12::bigint[], $13::jsonb[]
)
on conflict (run_id) do update set
    kind = excluded.kind, workflow = excluded.workflow, parent_run_id = excluded.parent_run_id, org = excluded.org,
    status = excluded.status, reason = excluded.reason, started_at = excluded.started_at, ended_at = excluded.ended_at,
    details = excluded.details, epoch = excluded.epoch, seq = excluded.seq, state = excluded.state, superseded_by = null
where (excluded.epoch, excluded.seq) > (sluice_workflow_runs.epoch, sluice_workflow_runs.seq)

-- name: insert_timeline
insert into sluice_timeline (workflow, at, seq, cause, event, request_id, run_id)
select * from unnest(
    $1::text[], $2::timestamptz[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[]
)
on conflict do nothing

-- name: supersede
-- Marks the runs of these workflows that have not ended and are not the newest of their workflow.
update sluice_workflow_runs as run set superseded_by = newest.run_id
from (
    select distinct on (workflow) workflow, run_id from sluice_workflow_runs
    where workflow = any($1::text[]) order by workflow, epoch desc, seq desc
) as newest
where run.workflow = newest.workflow and run.run_id <> newest.run_id
    and run.ended_at is null and run.superseded_by is null

-- name: newest_runs
select state from sluice_workflow_runs where kind = $1 and superseded_by is null order by started_at desc limit $2

-- name: named_runs
select state from sluice_workflow_runs
where kind = $1 and (
    run_id = $3
    or superseded_by is null
    and (workflow = $3 or run_id in (select run_id from sluice_timeline where request_id = $3))
)
order by started_at desc limit $2

-- name: children
select state from sluice_workflow_runs where parent_run_id = $1 and superseded_by is null order by workflow

-- name: timeline
select seq, at, cause, event, request_id, run_id from sluice_timeline where workflow = $1
order by at desc, seq desc limit $2
