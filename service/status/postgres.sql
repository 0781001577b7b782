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
-- Marks the runs of these workflows that have not ended and are not the newest of their workflow. Looked at are those of
-- $2, which were just written, and the $3 with the highest numbers: all others were marked when they were replaced.
with recent as materialized (
    select run.* from unnest($1::text[]) as published (workflow)
    cross join lateral (
        select workflow, run_id, epoch, seq, ended_at is null and superseded_by is null as is_current
        from sluice_workflow_runs where workflow = published.workflow order by run_id desc limit $3
    ) as run
),
newest as materialized (
    select distinct on (workflow) workflow, run_id, epoch, seq from recent order by workflow, epoch desc, seq desc
)
update sluice_workflow_runs as run set superseded_by = newest.run_id
from newest
where run.run_id = any(array(select run_id from recent where is_current union select unnest($2::text[])))
    and run.workflow = newest.workflow and (run.epoch, run.seq) < (newest.epoch, newest.seq)
    and run.ended_at is null and run.superseded_by is null

-- name: newest_runs
select state from sluice_workflow_runs where kind = $1 and superseded_by is null order by started_at desc limit $2

-- name: named_runs
select state from sluice_workflow_runs
where kind = $1 and run_id = any(array(
    select $3::text
    union all
    (
        select run_id from sluice_workflow_runs
        where workflow = $3 and superseded_by is null order by run_id desc limit $2
    )
    union all
    select run.run_id from sluice_timeline join sluice_workflow_runs as run using (run_id)
    where request_id = $3 and request_id <> '' and superseded_by is null
))
order by started_at desc limit $2

-- name: children
select state from sluice_workflow_runs where parent_run_id = $1 and parent_run_id <> '' and superseded_by is null order by workflow

-- name: timeline
select seq, at, cause, event, request_id, run_id from sluice_timeline where workflow = $1
order by at desc, seq desc limit $2
