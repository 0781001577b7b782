-- Until where the changes of an entity are in the database: a delta reads from there on. A run that is complete moves it, in
-- the transaction that closes it.

create table sluice_watermarks (
    org text collate "C" not null,
    adapter text collate "C" not null,
    entity text collate "C" not null,
    at timestamptz not null,
    run_id text collate "C" not null,
    set_at timestamptz not null,
    ignored_at timestamptz,
    primary key (org, adapter, entity)
);
comment on table sluice_watermarks is
    'All changes before this time, by the source''s clock, are in the database. run_id is the run that moved it last, empty '
    'if a person set it. ignored_at: when a delta last read everything instead.';

alter table sluice_runs add column since timestamptz;
comment on column sluice_runs.since is
    'Of a delta: the watermark when it was opened. Null: it reads everything, as there was none or the API ignores it.';

alter table sluice_pages add column asked_at bigint;
alter table sluice_pages add column newest bigint;
comment on column sluice_pages.newest is
    'The time of the newest change on the page; asked_at is when it was requested, both by the source''s clock (Unix us).';

create or replace function sluice_open_runs(
    run_ids text[], workflows text[], numbers bigint[], orgs text[], adapters text[], entities text[], types text[],
    moment timestamptz
) returns void language plpgsql as $$
begin
    if not exists (
        select from unnest(run_ids) as asked (run_id)
        where not exists (select from sluice_runs as known where known.run_id = asked.run_id)
    ) then
        return;
    end if;
    -- In one order everywhere: two processes that open the same workflows wait for each other instead of deadlocking.
    perform pg_advisory_xact_lock(1397511497, lock.key)
    from (select distinct hashtext(asked.workflow) as key from unnest(workflows) as asked (workflow) order by 1) as lock;
    update sluice_runs as older set state = 'superseded', closed_at = moment
    where older.run_id = any (array(
        select locked.run_id from sluice_runs as locked
        join (
            select asked.workflow, max(asked.number) as number, (
                select max(known.number) from sluice_runs as known where known.workflow = asked.workflow
            ) as newest
            from unnest(workflows, numbers) as asked (workflow, number) group by asked.workflow
        ) as known on locked.workflow = known.workflow and locked.number = known.newest
        where known.newest < known.number and locked.state = 'open'
        order by locked.run_id
        for no key update of locked
    ));
    insert into sluice_runs (run_id, workflow, number, org, adapter, entity, type, state, opened_at, since)
    select distinct on (asked.workflow)
        asked.run_id, asked.workflow, asked.number, asked.org, asked.adapter, asked.entity, asked.type, 'open', moment,
        case when asked.type = 'delta' then (
            select known.at from sluice_watermarks as known
            where (known.org, known.adapter, known.entity) = (asked.org, asked.adapter, asked.entity)
        ) end
    from unnest(run_ids, workflows, numbers, orgs, adapters, entities, types)
        as asked (run_id, workflow, number, org, adapter, entity, type)
    where not exists (
        select from sluice_runs as known where known.workflow = asked.workflow and known.number >= asked.number
    )
    order by asked.workflow, asked.number desc;
end
$$;

drop function sluice_open_leases;
create function sluice_open_leases(
    run_ids text[], workflows text[], numbers bigint[], orgs text[], adapters text[], entities text[], types text[],
    firsts bigint[], units bigint[], parent_asks int[], parents text[], moment timestamptz
) returns table (
    ask int, state text, run_pages bigint, run_records bigint, run_rejected bigint,
    parent text, page bigint, records bigint, rejected bigint, is_last boolean, next_cursor text,
    start_offset bigint, first_position text, last_position text, total bigint, unproven text,
    asked_at bigint, newest_change bigint, since timestamptz
) language plpgsql as $$
begin
    perform sluice_open_runs(run_ids, workflows, numbers, orgs, adapters, entities, types, moment);
    return query
    select asked.ask::int, run.state, run.pages, run.records, run.rejected,
        line.parent, line.page, line.records, line.rejected, line.is_last, line.next_cursor,
        line.start_offset, line.first_position, line.last_position, line.total,
        case when run.proof ->> 'complete' = 'false' then run.proof ->> 'reason' else '' end,
        line.asked_at, line.newest, run.since
    from unnest(run_ids, firsts, units) with ordinality as asked (run_id, first, units, ask)
    left join sluice_runs as run on run.run_id = asked.run_id
    left join lateral (
        select top.* from sluice_pages as top
        where top.run_id = run.run_id and top.parent = ''
            and top.page >= asked.first and top.page < asked.first + asked.units
            and asked.ask <> all (parent_asks)
        union all
        select below.* from unnest(parent_asks, parents) as named (ask, parent)
        join sluice_pages as below on below.run_id = run.run_id and below.parent = named.parent
        where named.ask = asked.ask
    ) as line on run.state = 'open'
    order by asked.ask, line.parent, line.page;
end
$$;
comment on function sluice_open_leases is
    'Opens runs; returns their states and sums, and the lines of open ones: one row per request (from 1) and line.';

create or replace function sluice_close_runs(
    run_ids text[], workflows text[], numbers bigint[], orgs text[], adapters text[], entities text[], types text[],
    outcomes text[], moment timestamptz, proofs text[]
) returns table (ask int, outcome text, pages bigint, records bigint, rejected bigint) language plpgsql as $$
declare
    left_open text[];
begin
    if exists (
        select from unnest(run_ids) as asked (run_id)
        where not exists (select from sluice_runs as known where known.run_id = asked.run_id)
    ) then
        perform sluice_open_runs(run_ids, workflows, numbers, orgs, adapters, entities, types, moment);
        -- One may be older than the newest and unknown: then it was not opened, and is entered as closed.
        insert into sluice_runs
            (run_id, workflow, number, org, adapter, entity, type, state, opened_at, closed_at)
        select distinct on (asked.run_id) asked.*, moment, moment
        from unnest(run_ids, workflows, numbers, orgs, adapters, entities, types, outcomes)
            as asked (run_id, workflow, number, org, adapter, entity, type, outcome)
        order by asked.run_id
        on conflict do nothing;
    end if;
    -- Waits for the commits in flight, which share a lock on these lines; those that come later find the run closed. A
    -- statement of its own: only the next one sees what they committed.
    perform from sluice_runs as run where run.run_id = any (run_ids) order by run.run_id for no key update;
    left_open := array(
        select asked.run_id
        from unnest(run_ids, proofs) as asked (run_id, proof) join sluice_runs as run on run.run_id = asked.run_id
        where run.state = 'open' and (asked.proof::jsonb ->> 'pages')::bigint <> (
            select count(*) from sluice_pages as line where line.run_id = asked.run_id
        )
    );
    return query
    with asked as (
        select * from unnest(run_ids, outcomes, proofs) with ordinality as asked (run_id, outcome, proof, ask)
    ),
    folded as (
        delete from sluice_pages as line where line.run_id = any (run_ids) and line.run_id <> all (left_open)
        returning line.run_id, line.records, line.rejected
    ),
    added as (
        select folded.run_id, count(*) as pages, sum(folded.records) as records, sum(folded.rejected) as rejected
        from folded group by folded.run_id
    ),
    closing as (
        select distinct on (asked.run_id) asked.run_id, asked.outcome, asked.proof,
            coalesce(added.pages, 0) as pages, coalesce(added.records, 0) as records,
            coalesce(added.rejected, 0) as rejected
        from asked left join added on added.run_id = asked.run_id
        where asked.run_id <> all (left_open)
        order by asked.run_id, asked.ask
    ),
    -- Of several runs of an entity, at once or one after the other, the latest watermark counts.
    moved as (
        insert into sluice_watermarks as known (org, adapter, entity, at, run_id, set_at)
        select distinct on (run.org, run.adapter, run.entity) run.org, run.adapter, run.entity,
            (closing.proof::jsonb #>> '{changes,watermark}')::timestamptz as at, run.run_id, moment
        from closing join sluice_runs as run on run.run_id = closing.run_id
        where run.state = 'open' and closing.outcome = 'done'
            and closing.proof::jsonb #>> '{changes,watermark}' is not null
        order by run.org, run.adapter, run.entity, at desc
        on conflict (org, adapter, entity) do update set at = excluded.at, run_id = excluded.run_id, set_at = excluded.set_at
        where excluded.at > known.at
    ),
    closed as (
        update sluice_runs as run set
            state = case run.state when 'open' then closing.outcome else run.state end,
            proof = case run.state when 'open' then closing.proof::jsonb else run.proof end,
            closed_at = coalesce(run.closed_at, moment), pages = run.pages + closing.pages,
            records = run.records + closing.records, rejected = run.rejected + closing.rejected
        from closing where run.run_id = closing.run_id
        returning run.run_id, run.state, run.pages, run.records, run.rejected
    )
    select asked.ask::int, case closed.state when 'superseded' then asked.outcome else closed.state end,
        closed.pages, closed.records::bigint, closed.rejected::bigint
    from asked left join closed on closed.run_id = asked.run_id
    order by asked.ask;
end
$$;
