-- Published state in SQLite. Times are ISO 8601 in UTC, with microseconds.

-- name: upsert_runs
insert into sluice_workflow_runs
    (run_id, kind, workflow, parent_run_id, org, status, reason, started_at, ended_at, details, epoch, seq, state,
     journal)
values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
on conflict (run_id) do update set
    kind = excluded.kind, workflow = excluded.workflow, parent_run_id = excluded.parent_run_id, org = excluded.org,
    status = excluded.status, reason = excluded.reason, started_at = excluded.started_at, ended_at = excluded.ended_at,
    details = excluded.details, epoch = excluded.epoch, seq = excluded.seq, state = excluded.state,
    journal = excluded.journal, superseded_by = null
where (excluded.journal, excluded.epoch, excluded.seq) >
    (sluice_workflow_runs.journal, sluice_workflow_runs.epoch, sluice_workflow_runs.seq)

-- name: insert_timeline
insert into sluice_timeline (workflow, at, seq, cause, event, request_id, run_id, journal)
values (?, ?, ?, ?, ?, ?, ?, ?)
on conflict do nothing

-- name: supersede
-- Marks the runs of this workflow that have not ended and are not its newest.
with newest as (
    select run_id from sluice_workflow_runs where workflow = :workflow
    order by journal desc, epoch desc, seq desc limit 1
)
update sluice_workflow_runs set superseded_by = (select run_id from newest)
where workflow = :workflow and ended_at is null and superseded_by is null and run_id <> (select run_id from newest)

-- name: retire
-- Marks the runs of a workflow that left the table which have not ended: a process that was cut off had begun them.
update sluice_workflow_runs set superseded_by = ''
where workflow = ? and (journal, epoch, seq) < (?, ?, ?) and ended_at is null and superseded_by is null

-- name: newest_runs
select state from sluice_workflow_runs where kind = ?1 and superseded_by is null order by started_at desc limit ?2

-- name: named_runs
select state from sluice_workflow_runs
where kind = ?1 and (
    run_id = ?3
    or superseded_by is null
    and (workflow = ?3 or run_id in (select run_id from sluice_timeline where request_id = ?3))
)
order by started_at desc limit ?2

-- name: children
select state from sluice_workflow_runs where parent_run_id = ?1 and superseded_by is null order by workflow

-- name: timeline
select entry.seq, entry.at, entry.cause, entry.event, entry.request_id, entry.run_id, coalesce(journal.topic_id, '')
from sluice_timeline as entry left join sluice_journals as journal on journal.number = entry.journal
where entry.workflow = ?1 order by entry.at desc, entry.seq desc limit ?2

-- name: missing
-- Runs that are done while their rows are missing, and whose workflows had no later run that is done.
select run.parent_run_id, run.run_id from sluice_workflow_runs as run
where run.rows_missing and run.superseded_by is null and not exists (
    select 1 from sluice_workflow_runs as later
    where later.workflow = run.workflow and later.status = 'done' and not later.rows_missing
        and later.started_at > run.started_at
)
order by run.workflow limit ?1

-- name: present_journal
select number, cluster_id, topic_id from sluice_journals order by number desc limit 1

-- name: insert_journal
insert into sluice_journals (number, cluster_id, topic_id, registered_at) values (?1, ?2, ?3, ?4)

-- name: open_runs
select state from sluice_workflow_runs
where journal < ?1 and ended_at is null and superseded_by is null order by run_id limit ?2

-- name: begin_progress
insert into sluice_journal_progress (journal, partition, next_offset, epoch) values (?, ?, 0, 0) on conflict do nothing

-- name: progress
select next_offset, epoch from sluice_journal_progress where journal = ? and partition = ?

-- name: advance
update sluice_journal_progress set next_offset = ?, epoch = ?
where journal = ? and partition = ?

-- name: mark_missing
-- A run that is done in the journal was closed here before that was reported.
update sluice_workflow_runs set rows_missing = 1
where run_id = ?1 and not rows_missing and not exists (
    select 1 from sluice_runs as known where known.run_id = ?1 and known.state <> 'open'
)
