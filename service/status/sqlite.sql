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
-- Marks the runs of this workflow that have not ended and are not its newest. Looked at are the one that was just
-- written and the :runs with the highest numbers: all others were marked when they were replaced.
with recent as materialized (
    select run_id, journal, epoch, seq, ended_at is null and superseded_by is null as is_current
    from sluice_workflow_runs where workflow = :workflow order by run_id desc limit :runs
),
newest as materialized (
    select run_id, journal, epoch, seq from recent order by journal desc, epoch desc, seq desc limit 1
)
update sluice_workflow_runs set superseded_by = (select run_id from newest)
where run_id in (select run_id from recent where is_current union select :run_id)
    and (journal, epoch, seq) < (select journal, epoch, seq from newest) and ended_at is null and superseded_by is null

-- name: retire
-- Marks the runs of a workflow that left the table which have not ended: a process that was cut off had begun them.
update sluice_workflow_runs set superseded_by = ''
where workflow = ? and (journal, epoch, seq) < (?, ?, ?) and ended_at is null and superseded_by is null

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

-- Retention. A batch is what is older than ?1 and lies behind one position (?2, ?3) up to another, the last of it: a time
-- and an id.

-- name: newest_event
select max(at) from sluice_timeline

-- name: next_runs
select started_at, run_id from (
    select started_at, run_id from sluice_workflow_runs
    where kind = ?5 and started_at < ?1 and (started_at, run_id) > (?2, ?3) order by started_at, run_id limit ?4
) order by started_at desc, run_id desc limit 1

-- name: remove_runs
-- Runs of a kind, but never the newest of a workflow, one of the ?7 with the highest numbers: it makes known that a record
-- of an older run, read again from the journal, is old. What has not ended and is not the newest was replaced.
delete from sluice_workflow_runs as run
where kind = ?6 and (started_at, run_id) > (?2, ?3) and (started_at, run_id) <= (?4, ?5)
    and (ended_at < ?1 or ended_at is null)
    and (
        run_id < (
            select run_id from sluice_workflow_runs as other
            where other.workflow = run.workflow order by run_id desc limit 1 offset ?7 - 1
        )
        or run_id <> (
            select run_id from (
                select run_id, journal, epoch, seq from sluice_workflow_runs as other
                where other.workflow = run.workflow order by run_id desc limit ?7
            ) order by journal desc, epoch desc, seq desc limit 1
        )
    )

-- name: next_events
select at, workflow from (
    select at, workflow from sluice_timeline
    where at < ?1 and (at, workflow) > (?2, ?3) order by at, workflow limit ?4
) order by at desc, workflow desc limit 1

-- name: remove_events
delete from sluice_timeline where (at, workflow) > (?2, ?3) and (at, workflow) <= (?4, ?5)

-- name: next_fences
select opened_at, run_id from (
    select opened_at, run_id from sluice_runs
    where opened_at < ?1 and (opened_at, run_id) > (?2, ?3) order by opened_at, run_id limit ?4
) order by opened_at desc, run_id desc limit 1

-- name: remove_lines
-- At most ?6 ledger lines of closed runs (closed_at is null while one is open): where a newer run closed it, they are
-- still there.
delete from sluice_pages where (run_id, parent, page) in (
    select line.run_id, line.parent, line.page
    from sluice_runs as run join sluice_pages as line on line.run_id = run.run_id
    where (opened_at, run.run_id) > (?2, ?3) and (opened_at, run.run_id) <= (?4, ?5)
        and closed_at < ?1
    limit ?6
)

-- name: remove_fences
-- Closed runs without ledger lines, but never the newest of a workflow, which is the fence, nor the newest that is done,
-- which says what was last read completely.
delete from sluice_runs as run
where (opened_at, run_id) > (?2, ?3) and (opened_at, run_id) <= (?4, ?5)
    and closed_at < ?1
    and number < (
        select max(number) from sluice_runs as newer
        where newer.workflow = run.workflow and (newer.state = 'done' or run.state <> 'done')
    )
    and not exists (select 1 from sluice_pages as line where line.run_id = run.run_id)

-- name: next_rejected
select rejected_at, record_key from (
    select rejected_at, record_key from rejected_records
    where rejected_at < ?1 and (rejected_at, record_key) > (?2, ?3) order by rejected_at, record_key limit ?4
) order by rejected_at desc, record_key desc limit 1

-- name: remove_rejected
-- Rejections that a later complete run of the entity has not repeated. run_id is WORKFLOW@NUMBER.
delete from rejected_records as old
where (rejected_at, record_key) > (?2, ?3) and (rejected_at, record_key) <= (?4, ?5)
    and cast(substr(old.run_id, length(rtrim(old.run_id, '0123456789')) + 1) as integer) < (
        select max(number) from sluice_runs as newer
        where newer.workflow = substr(old.run_id, 1, length(rtrim(old.run_id, '0123456789')) - 1)
            and newer.state = 'done'
    )
