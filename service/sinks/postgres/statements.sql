-- The sink's statements in PostgreSQL. In braces: an entity's table and its typed columns. No typed column starts with
-- _, and none has a reserved name (manifests.entity).

-- name: dangers
-- In the sink's own session: synchronous_commit is what the session has asked for, unless a pooler dropped that.
select case name
    when 'synchronous_commit' then format(
        'synchronous_commit is %s in the sessions of Sluice, which ask for on: a crash of the server, or a failover, '
        'loses pages that a run has reported. Let the pooler in between pass it on, or set it on at the server', setting
    )
    else format(
        '%s is off: after a crash of the machine, what was committed may be lost or damaged, and runs that are done '
        'lack rows. Set it on and reload the server', name
    )
end
from pg_settings
where (name in ('fsync', 'full_page_writes') and setting = 'off')
    or (name = 'synchronous_commit' and setting not in ('on', 'remote_apply'))
order by name

-- name: open_leases
select
    lease.*,
    case when lease.state is distinct from 'open' then (
        select max(known.number) from sluice_runs as known where known.workflow = ($2::text[])[lease.ask]
    ) end as newest
from sluice_open_leases($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) as lease

-- name: close_runs
select outcome, pages, records, rejected from sluice_close_runs($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)

-- name: ledger_sums
select count(*), count(*) filter (where page < 0), count(distinct parent) from sluice_pages where run_id = $1

-- name: newest_proof
select state, proof::text from sluice_runs where workflow = $1 order by number desc limit 1

-- name: watermarks
select org, adapter, entity, at, run_id, set_at, ignored_at from sluice_watermarks
where $1 in ('', org) order by org, adapter, entity

-- name: set_watermark
insert into sluice_watermarks as known (org, adapter, entity, at, run_id, set_at)
values ($1, $2, $3, $4::text::timestamptz, '', $5::text::timestamptz)
on conflict (org, adapter, entity) do update set at = excluded.at, run_id = '', set_at = excluded.set_at
returning at

-- name: reset_watermark
delete from sluice_watermarks where org = $1 and adapter = $2 and entity = $3 returning at

-- name: ignore_watermark
with ignored as (
    update sluice_watermarks as known set ignored_at = $2
    from sluice_runs as run
    where run.run_id = $1 and (known.org, known.adapter, known.entity) = (run.org, run.adapter, run.entity)
)
update sluice_runs set since = null where run_id = $1 and state = 'open'

-- name: count
select count(*) from "{table}" where org = $1 and deleted_at is null

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
-- The pages, and the runs, which it locks. Of most entities no record is rejected; this is looked up in a subquery, not
-- in a join: a plan that was made for a small table could join by scanning it.
with page as materialized (
    select * from unnest(
        $1::int[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::boolean[], $8::text[],
        $9::timestamptz[], $11::bigint[], $12::text[], $13::text[], $14::bigint[], $15::bigint[], $16::bigint[]
    ) as page (
        ord, run_id, parent, page, records, rejected, is_last, next_cursor, fetched_at, start_offset, first_position,
        last_position, total, asked_at, newest
    )
),
open_run as materialized (
    select run_id, org, adapter, entity, type, (
            select true from rejected_records as known
            where known.org = run.org and known.adapter = run.adapter and known.entity = run.entity limit 1
        ) as has_rejected
    from sluice_runs as run
    where run_id = any ($2) and state = 'open' order by run_id for share
)

-- name: loaded
-- Pages whose rows were stored by COPY. None, if a row may have to clear a rejection.
,
counted as (
    select page.*, 0 as collisions from page where not exists (select from open_run where has_rejected)
)

-- name: compared
-- Each row with what is stored under its key: nothing (null), the same content (0), other content (1), or other content
-- that this run has read, while the source's times do not say which is newer, or under another parent (2): a collision.
-- Of the two, the later read is kept and the other one is set aside.
,
compared as materialized (
    select open_run.org, open_run.type as source, open_run.run_id, page.page, page.fetched_at,
        page.parent as _parent, record.*, (
            select case
                when same.deleted_at is not null
                    then case when same.merged_into is null and same.deleted_at < page.fetched_at then 1 else 0 end
                when same.content_hash = record.content_hash then 0
                when same.run_id <> open_run.run_id then 1
                when {is_moved}(same.source_updated_at <> record.source_updated_at) is not true then 2
                else 1
            end
            from "{table}" as same where same.org = open_run.org and same.id = record.id
        ) as _stored
    from (
        select {fields}, _position from jsonb_array_elements($17) with ordinality as sent (record, _position)
    ) as record
    join page on page.ord = record._ord
    join open_run using (run_id)
)

-- name: plain
-- Most pages: no record was rejected, none has to be set aside, no rejection cleared. None, if that is not so.
,
counted as (
    select page.*, 0 as collisions from page
    where not exists (select from open_run where has_rejected)
        and not exists (select from compared where _stored = 2)
)

-- name: uncompared
-- Pages whose rows are not stored.
,
counted as (
    select page.*, 0 as collisions from page
)

-- name: collisions
,
collision as materialized (
    select met._ord, met.id, format($23, same.place, concat_ws(' under ', met.page, nullif(met._parent, ''))) as reason,
        case when met.fetched_at >= same.fetched_at then same.raw else met.raw end as raw
    from compared as met cross join lateral (
        select concat_ws(' under ', stored.page{parent_column}) as place, stored.fetched_at, stored.raw
        from "{table}" as stored where stored.org = met.org and stored.id = met.id offset 0
    ) as same
    where met._stored = 2
),
counted as (
    select page.*, coalesce(met.collisions, 0) as collisions
    from page left join (select _ord, count(*) as collisions from collision group by _ord) as met on met._ord = page.ord
)

-- name: line
-- Inserts the ledger lines. A line that conflicts with an earlier one waits for its transaction, does not change it and
-- returns its counts (xmax is 0 in a row that this statement inserted).
,
line as (
    insert into sluice_pages as stored
        (run_id, parent, page, records, rejected, is_last, next_cursor, committed_at, start_offset, first_position,
        last_position, total, asked_at, newest)
    select run_id, parent, page, records - collisions, rejected + collisions, is_last, next_cursor, $10::timestamptz,
        start_offset, first_position, last_position, total, asked_at, newest
    from counted join open_run using (run_id)
    order by run_id, parent collate "C", page
    on conflict (run_id, parent, page) do update set committed_at = stored.committed_at
    returning run_id, parent, page, records, rejected, is_last, next_cursor, xmax = 0 as is_new
)

-- name: fresh
,
fresh as materialized (
    select page.ord, page.fetched_at, page.parent, page.page, open_run.*
    from page join open_run using (run_id) join line using (run_id, parent, page)
    where line.is_new
)

-- name: seen
-- How each record of a reconciliation differs from its row, before it is stored.
,
seen as (
    insert into sluice_seen (run_id, id, difference)
    select distinct on (run_id, id collate "C") run_id, id, difference
    from (
        select met.run_id, met.id, case
            when met._stored is null then 'new'
            when met._stored = 0 then 'same'
            else coalesce((
                select case
                    when same.deleted_at is not null then 'new'
                    when same.raw <> met.raw and same.source_updated_at is not distinct from met.source_updated_at
                        then 'invisible'
                    else 'changed'
                end from "{table}" as same where same.org = met.org and same.id = met.id
            ), 'new')
        end as difference
        from compared as met where met._ord in (select ord from fresh)
        {refused}
    ) as read
    order by run_id, id collate "C"
    on conflict (run_id, id) do nothing
)

-- name: seen_refused
union all
select fresh.run_id, record.key, 'rejected'
from unnest($18::int[], $19::text[]) as record (ord, key) join fresh using (ord)

-- name: rows
-- Only the rows of new lines, sorted, because that is the order of locking: two groups with the same rows wait for each
-- other instead of deadlocking. A key that several pages have is the same row in each (service.sinks.repeats). A row
-- that is stored already is not inserted: the conflict would lock it, and so write. A row that does not exist is
-- inserted without "on conflict", a fifth cheaper; if another transaction stores it at that time, the statement fails
-- with a unique violation and is repeated.
--
-- The guard. A later run of the same type has read later, whatever the clocks say: it could open only when the older
-- one was closed. Of two versions of one run the newer source time is kept, of runs of two types, which go side by side,
-- also the later read of a time that went back. Where the times do not say, the later read is kept. A deleted row comes
-- back by what was read after it was deleted, unless it was merged into another one.
,
added as (
    insert into "{table}"
        (org, id, {columns}raw, content_hash, source, run_id, page, fetched_at, source_updated_at)
    select distinct on (org, id collate "C")
        org, id, {columns}raw, content_hash, source, run_id, page, fetched_at, source_updated_at
    from compared where _stored is null and _ord in (select ord from fresh)
    order by org, id collate "C", _position desc
)

-- name: changes
-- The rows that are stored with other content. A collision with a row that another page of the run has stored since the
-- statement began was not compared: the statement is repeated.
,
{name} as (
    insert into "{table}" as stored
        (org, id, {columns}raw, content_hash, source, run_id, page, fetched_at, source_updated_at)
    select distinct on (org, id collate "C")
        org, id, {columns}raw, content_hash, source, run_id, page, fetched_at, source_updated_at
    from compared where _stored = {stored} and _ord in (select ord from fresh)
    order by org, id collate "C", _position desc
    on conflict (org, id) do update set
        {updates}raw = excluded.raw, content_hash = excluded.content_hash, source = excluded.source,
        run_id = excluded.run_id, page = excluded.page, fetched_at = excluded.fetched_at,
        source_updated_at = excluded.source_updated_at, deleted_at = null, deleted_by_run = null
    where case
        when stored.deleted_at is not null then stored.merged_into is null and excluded.fetched_at > stored.deleted_at
        when excluded.content_hash = stored.content_hash then false
        when excluded.source = stored.source and excluded.run_id <> stored.run_id then true
        {repeat}
        when excluded.source_updated_at > stored.source_updated_at then true
        when excluded.source_updated_at < stored.source_updated_at
            then excluded.run_id <> stored.run_id and excluded.fetched_at > stored.fetched_at
        else excluded.fetched_at >= stored.fetched_at
    end
)

-- name: repeat
when excluded.run_id = stored.run_id and (
    {is_moved}(stored.source_updated_at <> excluded.source_updated_at) is not true
) then sluice_repeat()

-- name: rejections
,
set_aside as materialized (
    select fresh.*, record.key, record.place, record.reason, record.raw, record.position
    from (
        select * from unnest($18::int[], $19::text[], $20::text[], $21::text[], $22::text[]) with ordinality
            as record (ord, key, place, reason, raw, position)
        union all
        select _ord, id, '', reason, raw::text, 0 from collision
    ) as record
    join fresh using (ord)
),
refused as (
    insert into rejected_records
        (org, adapter, entity, record_key, place, run_id, parent, page, reason, raw, rejected_at)
    select distinct on (org, adapter, entity, key collate "C", place collate "C")
        org, adapter, entity, key, place, run_id, parent, page, reason, raw, $10
    from set_aside
    order by org, adapter, entity, key collate "C", place collate "C", position desc
    on conflict (org, adapter, entity, record_key, place) do update set
        run_id = excluded.run_id, parent = excluded.parent, page = excluded.page, reason = excluded.reason,
        raw = excluded.raw, rejected_at = excluded.rejected_at
),
-- Records that are stored lose their lines.
cleared as (
    delete from rejected_records where ctid = any (array(
        select known.ctid
        from fresh join compared on fresh.has_rejected and compared._ord = fresh.ord
        cross join lateral (
            select line.ctid from rejected_records as line
            where line.org = fresh.org and line.adapter = fresh.adapter and line.entity = fresh.entity
                and line.record_key = compared.id and line.place = '' offset 0
        ) as known
        where not exists (select from set_aside where set_aside.org = fresh.org and set_aside.key = compared.id)
    ))
)

-- name: outcomes
select
    case when open_run.run_id is null then 'fenced' when line.is_new then 'committed' else 'already' end as status,
    coalesce(line.records, 0) as records, coalesce(line.rejected, 0) as rejected,
    coalesce(line.is_last, false) as is_last, line.next_cursor
from counted as page
left join open_run using (run_id)
left join line using (run_id, parent, page)
order by page.ord
