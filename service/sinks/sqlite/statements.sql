-- The sink's statements in SQLite. In braces: an entity's table and its columns.

-- name: upsert
insert into "{table}" as stored ({columns}) values ({marks})
on conflict (org, id) do update set {updates}
where excluded.source_updated_at > stored.source_updated_at
    or (stored.source_updated_at is null and excluded.source_updated_at is not null)
    or (
        (excluded.source_updated_at is null or excluded.source_updated_at = stored.source_updated_at)
        and excluded.content_hash <> stored.content_hash
    )

-- name: insert_line
insert into sluice_pages (run_id, parent, page, records, rejected, is_last, next_cursor, committed_at)
values (?, ?, ?, ?, ?, ?, ?, ?)

-- name: insert_rejected
insert into rejected_records
    (org, adapter, entity, record_key, place, run_id, parent, page, reason, raw, rejected_at)
values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
on conflict (org, adapter, entity, record_key, place) do update set
    run_id = excluded.run_id, parent = excluded.parent, page = excluded.page, reason = excluded.reason,
    raw = excluded.raw, rejected_at = excluded.rejected_at

-- name: parents
select id{columns} from "{table}" where org = ? and id > ? order by id limit ?

-- name: count
select count(*) from "{table}" where org = ?

-- name: run
select state, pages, records, rejected from sluice_runs where run_id = ?

-- name: newest_run
select max(number) from sluice_runs where workflow = ?

-- name: supersede_run
update sluice_runs set state = 'superseded', closed_at = ? where workflow = ? and number = ? and state = 'open'

-- name: insert_run
insert into sluice_runs
    (run_id, workflow, number, org, adapter, entity, type, state, opened_at, closed_at)
values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: close_run
update sluice_runs set state = ?, closed_at = ? where run_id = ? and state = 'open'

-- name: fold_lines
update sluice_runs set pages = sluice_runs.pages + folded.pages, records = sluice_runs.records + folded.records,
    rejected = sluice_runs.rejected + folded.rejected
from (
    select count(*) as pages, coalesce(sum(records), 0) as records, coalesce(sum(rejected), 0) as rejected
    from sluice_pages where run_id = :run_id
) as folded
where run_id = :run_id

-- name: delete_lines
delete from sluice_pages where run_id = ?

-- name: lines_by_page
select parent, page, records, rejected, is_last, next_cursor from sluice_pages
where run_id = ? and parent = '' and page >= ? and page < ? order by page

-- name: lines_by_parent
select parent, page, records, rejected, is_last, next_cursor from sluice_pages
where run_id = ? and parent = ? order by page

-- name: line
select parent, page, records, rejected, is_last, next_cursor from sluice_pages
where run_id = ? and parent = ? and page = ?
