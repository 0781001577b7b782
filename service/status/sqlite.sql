-- Published state in SQLite. Times are ISO 8601 in UTC, with microseconds.

-- name: upsert_runs
insert into sluice_workflow_runs
    (run_id, kind, workflow, parent_run_id, org, status, reason, started_at, ended_at, details, epoch, seq, state)
values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
on conflict (run_id) do update set
    kind = excluded.kind, workflow = excluded.workflow, parent_run_id = excluded.parent_run_id, org = excluded.org,
    status = excluded.status, reason = excluded.reason, started_at = excluded.started_at, ended_at = excluded.ended_at,
    details = excluded.details, epoch = excluded.epoch, seq = excluded.seq, state = excluded.state, superseded_by = null
where (excluded.epoch, excluded.seq) > (sluice_workflow_runs.epoch, sluice_workflow_runs.seq)

-- name: insert_timeline
insert into sluice_timeline (workflow, at, seq, cause, event, request_id, run_id) values (?, ?, ?, ?, ?, ?, ?)
on conflict do nothing

-- name: supersede
-- Marks the runs of this workflow that have not ended and are not its newest. Looked at are the one that was just
-- written and the :runs with the highest numbers: all others were marked when they were replaced.
with recent as materialized (
    select run_id, epoch, seq, ended_at is null and superseded_by is null as is_current
    from sluice_workflow_runs where workflow = :workflow order by run_id desc limit :runs
),
newest as materialized (select run_id, epoch, seq from recent order by epoch desc, seq desc limit 1)
update sluice_workflow_runs set superseded_by = (select run_id from newest)
where run_id in (select run_id from recent where is_current union select :run_id)
    and (epoch, seq) < (select epoch, seq from newest) and ended_at is null and superseded_by is null

-- name: newest_runs
select state from sluice_workflow_runs where kind = ?1 and superseded_by is null order by started_at desc limit ?2

-- name: named_runs
-- The plus sign keeps the runs of a kind from being looked through one by one.
select state from sluice_workflow_runs
where +kind = ?1 and run_id in (
    select ?3
    union all
    select run_id from (
        select run_id from sluice_workflow_runs
        where workflow = ?3 and superseded_by is null order by run_id desc limit ?2
    )
    union all
    select run.run_id from sluice_timeline as entry join sluice_workflow_runs as run on run.run_id = entry.run_id
    where entry.request_id = ?3 and entry.request_id <> '' and run.superseded_by is null
)
order by started_at desc limit ?2

-- name: children
select state from sluice_workflow_runs where parent_run_id = ?1 and parent_run_id <> '' and superseded_by is null order by workflow

-- name: timeline
select seq, at, cause, event, request_id, run_id from sluice_timeline where workflow = ?1
order by at desc, seq desc limit ?2
