-- The sink's statements in SQLite. In braces: an entity's table and its columns.

-- name: upsert
-- The guard. A later run of the same type has read later, whatever the clocks say: it could open only when the older
-- one was closed. Of two versions of one run the newer source time is kept, of runs of two types, which go side by side,
-- also the later read of a time that went back. Where the times do not say, the later read is kept.
-- A deleted row comes back by what was read after it was deleted, unless it was merged into another one.
insert into "{table}" as stored ({columns}) values ({marks})
on conflict (org, id) do update set {updates}, {restored}
where case
    when stored.deleted_at is not null
        then stored.merged_into is null and excluded.fetched_at > stored.deleted_at
    when excluded.content_hash = stored.content_hash then false
    when excluded.source = stored.source and excluded.run_id <> stored.run_id then true
    when excluded.source_updated_at > stored.source_updated_at then true
    when excluded.source_updated_at < stored.source_updated_at
        then excluded.run_id <> stored.run_id and excluded.fetched_at > stored.fetched_at
    else excluded.fetched_at >= stored.fetched_at
end

-- name: see
insert into sluice_seen (run_id, id, difference)
select :run_id, :id, coalesce((
    select case
        when stored.deleted_at is not null and stored.deleted_at < :fetched_at then 'new'
        when :raw is null then 'rejected'
        when stored.content_hash = :content_hash then 'same'
        when stored.raw <> :raw and stored.source_updated_at is :updated_at then 'invisible'
        else 'changed'
    end from "{table}" as stored where stored.org = :org and stored.id = :id
), case when :raw is null then 'rejected' else 'new' end)
where true
on conflict (run_id, id) do nothing

-- name: collision
-- The row of this key, if this run has read it with other content while the source's times do not say which is newer, or
-- under another parent.
select stored.page, {parent}, stored.fetched_at, stored.raw from "{table}" as stored
where stored.org = :org and stored.id = :id and stored.run_id = :run_id and stored.deleted_at is null and stored.content_hash <> :content_hash
    and ({parent} <> :parent or (stored.source_updated_at <> :updated_at) is not true)

-- name: insert_line
insert into sluice_pages
    (run_id, parent, page, records, rejected, is_last, next_cursor, committed_at, start_offset, first_position,
    last_position, total, asked_at, newest)
values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: insert_rejected
insert into rejected_records
    (org, adapter, entity, record_key, place, run_id, parent, page, reason, raw, rejected_at)
values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
on conflict (org, adapter, entity, record_key, place) do update set
    run_id = excluded.run_id, parent = excluded.parent, page = excluded.page, reason = excluded.reason,
    raw = excluded.raw, rejected_at = excluded.rejected_at

-- name: has_rejected
select exists (select 1 from rejected_records where org = ? and adapter = ? and entity = ?)

-- name: clear_rejected
delete from rejected_records where org = ? and adapter = ? and entity = ? and record_key = ? and place = ''

-- name: ledger_sums
select count(*), count(*) filter (where page < 0), count(distinct parent) from sluice_pages where run_id = ?

-- name: newest_proof
select state, proof from sluice_runs where workflow = ? order by number desc limit 1

-- name: count
select count(*) from "{table}" where org = ? and deleted_at is null

-- name: interruptions
select command, times from sluice_interrupted where command in (select value from json_each(?))

-- name: begin_commands
insert into sluice_interrupted (command, connection, times, begun_ms)
select json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'), ?2 from json_each(?1)
where true
on conflict (command) do update set times = excluded.times, begun_ms = excluded.begun_ms

-- name: end_commands
delete from sluice_interrupted where command in (select value from json_each(?)) or begun_ms < ?

-- name: run
select state, pages, records, rejected,
    case when proof ->> 'complete' = 0 then 'not proven complete: ' || (proof ->> 'reason')
        when proof ->> '$.comparison.held' > 0 then proof ->> '$.comparison.reason' else '' end as remark, since
from sluice_runs where run_id = ?

-- name: newest_run
select max(number) from sluice_runs where workflow = ?

-- name: supersede_run
update sluice_runs set state = 'superseded', closed_at = ? where workflow = ? and number = ? and state = 'open'

-- name: insert_run
insert into sluice_runs
    (run_id, workflow, number, org, adapter, entity, type, state, opened_at, closed_at, since)
select ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, case when ?7 = 'delta' then (
    select at from sluice_watermarks where org = ?4 and adapter = ?5 and entity = ?6
) end

-- name: close_run
update sluice_runs set state = ?, closed_at = ?, proof = ? where run_id = ? and state = 'open'

-- name: move_watermark
insert into sluice_watermarks as known (org, adapter, entity, at, run_id, set_at) values (?, ?, ?, ?, ?, ?)
on conflict (org, adapter, entity) do update set at = excluded.at, run_id = excluded.run_id, set_at = excluded.set_at
where excluded.at > known.at

-- name: watermarks
select org, adapter, entity, at, run_id, set_at, ignored_at from sluice_watermarks
where ? in ('', org) order by org, adapter, entity

-- name: set_watermark
insert into sluice_watermarks as known (org, adapter, entity, at, run_id, set_at) values (?, ?, ?, ?, '', ?)
on conflict (org, adapter, entity) do update set at = excluded.at, run_id = '', set_at = excluded.set_at
returning at

-- name: reset_watermark
delete from sluice_watermarks where org = ? and adapter = ? and entity = ? returning at

-- name: ignore_watermark
update sluice_watermarks set ignored_at = ?1 where (org, adapter, entity) = (
    select org, adapter, entity from sluice_runs where run_id = ?2
)

-- name: forget_since
update sluice_runs set since = null where run_id = ? and state = 'open'

-- name: count_lines
select count(*) from sluice_pages where run_id = ?

-- name: fold_lines
update sluice_runs set pages = sluice_runs.pages + folded.pages, records = sluice_runs.records + folded.records,
    rejected = sluice_runs.rejected + folded.rejected
from (
    select count(*) as pages, coalesce(sum(records), 0) as records, coalesce(sum(rejected), 0) as rejected
    from sluice_pages where run_id = :run_id
) as folded
where run_id = :run_id

-- name: note_parents
insert into sluice_parents (org, adapter, entity, parent, read_at)
select run.org, run.adapter, run.entity, line.parent, run.opened_at
from sluice_pages as line join sluice_runs as run on run.run_id = line.run_id
where run.run_id = ? and line.is_last and line.parent <> ''
on conflict (org, adapter, entity, parent) do update set read_at = excluded.read_at
where excluded.read_at > sluice_parents.read_at

-- name: delete_lines
delete from sluice_pages where run_id = ?

-- name: lines_by_page
select parent, page, records, rejected, is_last, next_cursor, start_offset, first_position, last_position, total,
    asked_at, newest
from sluice_pages
where run_id = ? and parent = '' and page >= ? and page < ? order by page

-- name: lines_by_parent
select parent, page, records, rejected, is_last, next_cursor, start_offset, first_position, last_position, total,
    asked_at, newest
from sluice_pages
where run_id = ? and parent = ? order by page

-- name: line
select parent, page, records, rejected, is_last, next_cursor, start_offset, first_position, last_position, total,
    asked_at, newest
from sluice_pages
where run_id = ? and parent = ? and page = ?
