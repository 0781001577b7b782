-- The sink's statements in PostgreSQL. In braces: an entity's table and its typed columns. No typed column starts with
-- _, and none has a reserved name (manifests.entity).

-- name: open_leases
select
    lease.*,
    case when lease.state is distinct from 'open' then (
        select max(known.number) from sluice_runs as known where known.workflow = ($2::text[])[lease.ask]
    ) end as newest
from sluice_open_leases($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) as lease

-- name: close_runs
select outcome, pages, records, rejected from sluice_close_runs($1, $2, $3, $4, $5, $6, $7, $8, $9)

-- name: parents
select id{columns} from "{table}" where org = $1 and id > $2 order by id limit $3

-- name: count
select count(*) from "{table}" where org = $1

-- name: interruptions
select command, times from sluice_interrupted where command in (select jsonb_array_elements_text($1::text::jsonb))

-- name: begin_commands
insert into sluice_interrupted (command, connection, times, begun_ms)
select begun ->> 0, begun ->> 1, (begun ->> 2)::bigint, $2 from jsonb_array_elements($1::text::jsonb) as begun order by 1
on conflict (command) do update set times = excluded.times, begun_ms = excluded.begun_ms

-- name: end_commands
delete from sluice_interrupted
where command in (select jsonb_array_elements_text($1::text::jsonb)) or begun_ms < $2

-- name: orgs_with_rows
select listed.org from unnest($1::text[]) as listed (org)
where exists (select from "{table}" as stored where stored.org = listed.org)

-- name: ledger
-- Locks the runs, then inserts the ledger lines. A line that conflicts with an earlier one waits for its transaction,
-- does not change it and returns its counts (xmax is 0 in a row that this statement inserted).
with page as materialized (
    select * from unnest(
        $1::int[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::boolean[], $8::text[],
        $9::timestamptz[]
    ) as page (ord, run_id, parent, page, records, rejected, is_last, next_cursor, fetched_at)
),
open_run as materialized (
    select run_id, org, adapter, entity, type from sluice_runs
    where run_id = any ($2) and state = 'open' order by run_id for share
),
line as (
    insert into sluice_pages as stored
        (run_id, parent, page, records, rejected, is_last, next_cursor, committed_at)
    select run_id, parent, page, records, rejected, is_last, next_cursor, $10::timestamptz
    from page join open_run using (run_id)
    order by run_id, parent collate "C", page
    on conflict (run_id, parent, page) do update set committed_at = stored.committed_at
    returning run_id, parent, page, records, rejected, is_last, next_cursor, xmax = 0 as is_new
)

-- name: rows
-- Only the rows of new lines, sorted, because that is the order of locking: two groups with the same rows wait for each
-- other instead of deadlocking. Each row is looked up first. A row that is stored already is not inserted: the conflict
-- would lock it, and so write. A row that does not exist is inserted without "on conflict", a fifth cheaper; if another
-- transaction stores it at that time, the statement fails with a unique violation and is repeated. The lookup is a
-- subquery, not a join: a plan that was made for a small table could join by scanning it.
,
fresh as materialized (
    select page.ord, page.fetched_at, page.parent, page.page, open_run.*
    from page join open_run using (run_id) join line using (run_id, parent, page)
    where line.is_new
),
incoming as (
    select distinct on (fresh.org, record.id collate "C")
        fresh.org, fresh.type as source, fresh.run_id, fresh.page, fresh.fetched_at, record.*
    from (
        select {fields}, _position from jsonb_array_elements($11) with ordinality as sent (record, _position)
    ) as record
    join fresh on fresh.ord = record._ord
    order by fresh.org, record.id collate "C", record.source_updated_at desc nulls last, record._position desc
),
compared as materialized (
    select incoming.*, (
        select same.content_hash = incoming.content_hash
            and (incoming.source_updated_at is null or same.source_updated_at is not distinct from
                incoming.source_updated_at)
        from "{table}" as same where same.org = incoming.org and same.id = incoming.id
    ) as _is_same
    from incoming
),
added as (
    insert into "{table}"
        (org, id, {columns}raw, content_hash, source, run_id, page, fetched_at, source_updated_at)
    select org, id, {columns}raw, content_hash, source, run_id, page, fetched_at, source_updated_at
    from compared where _is_same is null
),
changed as (
    insert into "{table}" as stored
        (org, id, {columns}raw, content_hash, source, run_id, page, fetched_at, source_updated_at)
    select org, id, {columns}raw, content_hash, source, run_id, page, fetched_at, source_updated_at
    from compared where not _is_same
    on conflict (org, id) do update set
        {updates}raw = excluded.raw, content_hash = excluded.content_hash, source = excluded.source,
        run_id = excluded.run_id, page = excluded.page, fetched_at = excluded.fetched_at,
        source_updated_at = excluded.source_updated_at
    where excluded.source_updated_at > stored.source_updated_at
        or (stored.source_updated_at is null and excluded.source_updated_at is not null)
        or (
            (excluded.source_updated_at is null or excluded.source_updated_at = stored.source_updated_at)
            and excluded.content_hash <> stored.content_hash
        )
),
refused as (
    insert into rejected_records
        (org, adapter, entity, record_key, place, run_id, parent, page, reason, raw, rejected_at)
    select distinct on (fresh.org, fresh.adapter, fresh.entity, record.key collate "C", record.place collate "C")
        fresh.org, fresh.adapter, fresh.entity, record.key, record.place, fresh.run_id, fresh.parent, fresh.page,
        record.reason, record.raw, $10
    from unnest($12::int[], $13::text[], $14::text[], $15::text[], $16::text[]) with ordinality
        as record (ord, key, place, reason, raw, position)
    join fresh using (ord)
    order by fresh.org, fresh.adapter, fresh.entity, record.key collate "C", record.place collate "C",
        record.position desc
    on conflict (org, adapter, entity, record_key, place) do update set
        run_id = excluded.run_id, parent = excluded.parent, page = excluded.page, reason = excluded.reason,
        raw = excluded.raw, rejected_at = excluded.rejected_at
)

-- name: outcomes
select
    case when open_run.run_id is null then 'fenced' when line.is_new then 'committed' else 'already' end as status,
    coalesce(line.records, 0) as records, coalesce(line.rejected, 0) as rejected,
    coalesce(line.is_last, false) as is_last, line.next_cursor
from page
left join open_run using (run_id)
left join line using (run_id, parent, page)
order by page.ord
