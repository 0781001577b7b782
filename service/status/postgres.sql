-- Published state in PostgreSQL. Rows are passed as one array per column.

-- name: upsert_runs
insert into sluice_workflow_runs
    (run_id, kind, workflow, parent_run_id, org, status, reason, started_at, ended_at, details, epoch, seq, state,
     journal)
select *, $1 from unnest(
    $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::timestamptz[],
    $10::timestamptz[], $11::jsonb[], $12::bigint[], $13::bigint[], $14::jsonb[]
)
on conflict (run_id) do update set
    kind = excluded.kind, workflow = excluded.workflow, parent_run_id = excluded.parent_run_id, org = excluded.org,
    status = excluded.status, reason = excluded.reason, started_at = excluded.started_at, ended_at = excluded.ended_at,
    details = excluded.details, epoch = excluded.epoch, seq = excluded.seq, state = excluded.state,
    journal = excluded.journal, superseded_by = null
where (excluded.journal, excluded.epoch, excluded.seq) >
    (sluice_workflow_runs.journal, sluice_workflow_runs.epoch, sluice_workflow_runs.seq)

-- name: insert_timeline
insert into sluice_timeline (workflow, at, seq, cause, event, request_id, run_id, journal)
select *, $1 from unnest(
    $2::text[], $3::timestamptz[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::text[]
)
on conflict do nothing

-- name: supersede
-- Marks the runs of these workflows that have not ended and are not the newest of their workflow. Looked at are those of
-- $2, which were just written, and the $3 with the highest numbers: all others were marked when they were replaced.
with recent as materialized (
    select run.* from unnest($1::text[]) as published (workflow)
    cross join lateral (
        select workflow, run_id, journal, epoch, seq, ended_at is null and superseded_by is null as is_current
        from sluice_workflow_runs where workflow = published.workflow order by run_id desc limit $3
    ) as run
),
newest as materialized (
    select distinct on (workflow) workflow, run_id, journal, epoch, seq from recent
    order by workflow, journal desc, epoch desc, seq desc
)
update sluice_workflow_runs as run set superseded_by = newest.run_id
from newest
where run.run_id = any(array(select run_id from recent where is_current union select unnest($2::text[])))
    and run.workflow = newest.workflow
    and (run.journal, run.epoch, run.seq) < (newest.journal, newest.epoch, newest.seq)
    and run.ended_at is null and run.superseded_by is null

-- name: retire
-- Marks the runs of workflows that left the table which have not ended: a process that was cut off had begun them.
update sluice_workflow_runs as run set superseded_by = ''
from unnest($2::text[], $3::bigint[], $4::bigint[]) as retired (workflow, epoch, seq)
where run.workflow = retired.workflow and (run.journal, run.epoch, run.seq) < ($1, retired.epoch, retired.seq)
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
select entry.seq, entry.at, entry.cause, entry.event, entry.request_id, entry.run_id, coalesce(journal.topic_id, '')
from sluice_timeline as entry left join sluice_journals as journal on journal.number = entry.journal
where entry.workflow = $1 order by entry.at desc, entry.seq desc limit $2

-- name: missing
-- Runs that are done while their rows are missing, and whose workflows had no later run that is done.
select run.parent_run_id, run.run_id from sluice_workflow_runs as run
where run.rows_missing and run.superseded_by is null and not exists (
    select 1 from sluice_workflow_runs as later
    where later.workflow = run.workflow and later.status = 'done' and not later.rows_missing
        and later.started_at > run.started_at
)
order by run.workflow limit $1

-- name: present_journal
select number, cluster_id, topic_id from sluice_journals order by number desc limit 1

-- name: insert_journal
insert into sluice_journals (number, cluster_id, topic_id, registered_at) values ($1, $2, $3, $4)

-- name: open_runs
select state from sluice_workflow_runs
where journal < $1 and ended_at is null and superseded_by is null order by run_id limit $2

-- name: lock_journals
lock table sluice_journals in share row exclusive mode

-- name: begin_progress
insert into sluice_journal_progress (journal, partition, next_offset, epoch)
select $1, partition, 0, 0 from unnest($2::int[]) as partition on conflict do nothing

-- name: progress
select partition, next_offset, epoch from sluice_journal_progress where journal = $1 and partition = any ($2::int[])

-- name: lock_progress
select partition, next_offset from sluice_journal_progress where journal = $1 and partition = any ($2::int[])
order by partition for update

-- name: advance
update sluice_journal_progress as stored set next_offset = reached.next_offset, epoch = reached.epoch
from unnest($2::int[], $3::bigint[], $4::bigint[]) as reached (partition, next_offset, epoch)
where stored.journal = $1 and stored.partition = reached.partition

-- name: mark_missing
-- A run that is done in the journal was closed here before that was reported.
update sluice_workflow_runs as run set rows_missing = true
where run.run_id = any ($1::text[]) and not run.rows_missing and not exists (
    select from sluice_runs as known where known.run_id = run.run_id and known.state <> 'open'
)
returning run.run_id

-- Retention. A batch is what is older than $1 and lies behind one position ($2, $3) up to another, the last of it: a time
-- and an id. Rows that are locked are left for the next round: removing never waits for a row.

-- name: newest_event
select max(at) from sluice_timeline

-- name: next_runs
select started_at, run_id from (
    select started_at, run_id from sluice_workflow_runs
    where kind = $5 and started_at < $1 and (started_at, run_id) > ($2, $3) order by started_at, run_id limit $4
) as batch order by started_at desc, run_id desc limit 1

-- name: remove_runs
-- Runs of a kind, but never the newest of a workflow, one of the $7 with the highest numbers: it makes known that a record
-- of an older run, read again from the journal, is old. What has not ended and is not the newest was replaced.
with gone as (
    select run_id from sluice_workflow_runs as run
    where kind = $6 and started_at < $1 and (started_at, run_id) > ($2, $3) and (started_at, run_id) <= ($4, $5)
        and (ended_at < $1 or ended_at is null)
        and (
            run_id < (
                select run_id from sluice_workflow_runs as other
                where other.workflow = run.workflow order by run_id desc limit 1 offset $7 - 1
            )
            or run_id <> (
                select run_id from (
                    select run_id, journal, epoch, seq from sluice_workflow_runs as other
                    where other.workflow = run.workflow order by run_id desc limit $7
                ) as recent order by journal desc, epoch desc, seq desc limit 1
            )
        )
    for update skip locked
)
delete from sluice_workflow_runs as run using gone where run.run_id = gone.run_id

-- name: next_events
select at, workflow from (
    select at, workflow from sluice_timeline
    where at < $1 and (at, workflow) > ($2, $3) order by at, workflow limit $4
) as batch order by at desc, workflow desc limit 1

-- name: remove_events
delete from sluice_timeline where ctid = any(array(
    select ctid from sluice_timeline
    where at < $1 and (at, workflow) > ($2, $3) and (at, workflow) <= ($4, $5)
    for update skip locked
))

-- name: next_fences
select opened_at, run_id from (
    select opened_at, run_id from sluice_runs
    where opened_at < $1 and (opened_at, run_id) > ($2, $3) order by opened_at, run_id limit $4
) as batch order by opened_at desc, run_id desc limit 1

-- name: remove_lines
-- At most $6 ledger lines of closed runs (closed_at is null while one is open): where a newer run closed it, they are
-- still there.
delete from sluice_pages where ctid = any(array(
    select line.ctid from sluice_runs as run
    cross join lateral (
        select ctid from sluice_pages where run_id = run.run_id limit $6 for update skip locked
    ) as line
    where opened_at < $1 and (opened_at, run_id) > ($2, $3) and (opened_at, run_id) <= ($4, $5)
        and closed_at < $1
    limit $6
))

-- name: remove_fences
-- Closed runs without ledger lines, but never the newest of a workflow, which is the fence, nor the newest that is done,
-- which says what was last read completely.
with gone as (
    select run_id from sluice_runs as run
    where opened_at < $1 and (opened_at, run_id) > ($2, $3) and (opened_at, run_id) <= ($4, $5)
        and closed_at < $1
        and number < (
            select max(number) from sluice_runs as newer
            where newer.workflow = run.workflow and (newer.state = 'done' or run.state <> 'done')
        )
        and (select count(*) from sluice_pages as line where line.run_id = run.run_id) = 0
    for update skip locked
)
delete from sluice_runs as run using gone where run.run_id = gone.run_id

-- name: next_rejected
select rejected_at, record_key from (
    select rejected_at, record_key from rejected_records
    where rejected_at < $1 and (rejected_at, record_key) > ($2, $3) order by rejected_at, record_key limit $4
) as batch order by rejected_at desc, record_key desc limit 1

-- name: remove_rejected
-- Rejections that a later complete run of the entity has not repeated. run_id is WORKFLOW@NUMBER.
delete from rejected_records where ctid = any(array(
    select ctid from (
        select ctid, rtrim(run_id, '0123456789') as head, run_id from rejected_records
        where rejected_at < $1 and (rejected_at, record_key) > ($2, $3) and (rejected_at, record_key) <= ($4, $5)
        for update skip locked
    ) as old
    where substr(old.run_id, length(old.head) + 1)::bigint < (
        select max(number) from sluice_runs as newer where newer.workflow = left(old.head, -1) and newer.state = 'done'
    )
))
