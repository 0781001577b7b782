-- Runs (the fence), pages (the ledger), rejected records, and the two functions that open and close runs.
-- They are functions because each statement in them sees what others committed while the one before it waited for a
-- lock: in a single statement, all would look at the moment before.

create table sluice_runs (
    run_id text collate "C" primary key,
    workflow text collate "C" not null,
    number bigint not null,
    org text collate "C" not null,
    adapter text collate "C" not null,
    entity text collate "C" not null,
    type text collate "C" not null,
    state text not null check (state in ('open', 'done', 'failed', 'cancelled', 'superseded')),
    opened_at timestamptz not null,
    closed_at timestamptz,
    pages bigint not null default 0,
    records bigint not null default 0,
    rejected bigint not null default 0,
    unique (workflow, number)
);
comment on table sluice_runs is
    'One line per run of an entity. Only an open run may write; the newest run of a workflow is the only open one. '
    'pages, records and rejected are the sums of the ledger lines that were folded away when the run was finished.';

create table sluice_pages (
    run_id text collate "C" not null,
    parent text collate "C" not null,
    page bigint not null,
    records bigint not null,
    rejected bigint not null,
    is_last boolean not null,
    next_cursor text,
    committed_at timestamptz not null,
    primary key (run_id, parent, page)
);
comment on table sluice_pages is
    'The ledger: one line per committed page of a run that is not finished. parent is empty at the top level.';

create table rejected_records (
    org text collate "C" not null,
    adapter text collate "C" not null,
    entity text collate "C" not null,
    record_key text collate "C" not null,
    place text collate "C" not null,
    run_id text collate "C" not null,
    parent text collate "C" not null,
    page bigint not null,
    reason text not null,
    raw text not null,
    rejected_at timestamptz not null,
    primary key (org, adapter, entity, record_key, place)
);
comment on table rejected_records is
    'Records that could not be stored as rows: the newest rejection of each. '
    'place is empty, or parent/page/position for a record without a key.';

create function sluice_open_runs(
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
    perform from sluice_runs as older
    join (
        select asked.workflow, max(asked.number) as number
        from unnest(workflows, numbers) as asked (workflow, number) group by asked.workflow
    ) as newest on newest.workflow = older.workflow and older.number < newest.number
    where older.state = 'open'
    order by older.run_id
    for no key update of older;
    update sluice_runs as older set state = 'superseded', closed_at = moment
    from (
        select asked.workflow, max(asked.number) as number
        from unnest(workflows, numbers) as asked (workflow, number) group by asked.workflow
    ) as newest
    where newest.workflow = older.workflow and older.number < newest.number and older.state = 'open';
    insert into sluice_runs (run_id, workflow, number, org, adapter, entity, type, state, opened_at)
    select distinct on (asked.workflow)
        asked.run_id, asked.workflow, asked.number, asked.org, asked.adapter, asked.entity, asked.type, 'open', moment
    from unnest(run_ids, workflows, numbers, orgs, adapters, entities, types)
        as asked (run_id, workflow, number, org, adapter, entity, type)
    where not exists (
        select from sluice_runs as known where known.workflow = asked.workflow and known.number >= asked.number
    )
    order by asked.workflow, asked.number desc;
end
$$;
comment on function sluice_open_runs is
    'Opens each run unless it, or a newer one of its workflow, is known; closes older ones as superseded.';

create function sluice_grant(
    run_ids text[], workflows text[], numbers bigint[], orgs text[], adapters text[], entities text[], types text[],
    firsts bigint[], units bigint[], parent_asks int[], parents text[], moment timestamptz
) returns table (
    ask int, is_open boolean, parent text, page bigint, records bigint, rejected bigint, is_last boolean,
    next_cursor text
) language plpgsql as $$
begin
    perform sluice_open_runs(run_ids, workflows, numbers, orgs, adapters, entities, types, moment);
    return query
    select asked.ask::int, run.run_id is not null, line.parent, line.page, line.records, line.rejected, line.is_last,
        line.next_cursor
    from unnest(run_ids, firsts, units) with ordinality as asked (run_id, first, units, ask)
    left join sluice_runs as run on run.run_id = asked.run_id and run.state = 'open'
    left join lateral (
        select top.* from sluice_pages as top
        where top.run_id = run.run_id and top.parent = ''
            and top.page >= asked.first and top.page < asked.first + asked.units
            and asked.ask <> all (parent_asks)
        union all
        select below.* from unnest(parent_asks, parents) as named (ask, parent)
        join sluice_pages as below on below.run_id = run.run_id and below.parent = named.parent
        where named.ask = asked.ask
    ) as line on true
    order by asked.ask, line.parent, line.page;
end
$$;
comment on function sluice_grant is
    'Opens runs and reads their ledger: one row per ask (counted from 1) and line, one with nulls for no line.';

create function sluice_finish(
    the_run text, workflow text, number bigint, org text, adapter text, entity text, type text, outcome text,
    moment timestamptz
) returns table (pages bigint, records bigint, rejected bigint) language plpgsql as $$
begin
    perform sluice_open_runs(
        array[the_run], array[workflow], array[number], array[org], array[adapter], array[entity], array[type], moment
    );
    -- It may be older than the newest and unknown: then it was not opened, and is entered as closed.
    insert into sluice_runs as run (run_id, workflow, number, org, adapter, entity, type, state, opened_at, closed_at)
    values (the_run, workflow, number, org, adapter, entity, type, outcome, moment, moment)
    on conflict (run_id) do nothing;
    -- Waits for the commits in flight, which share a lock on this line; those that come later find it closed.
    update sluice_runs as run set state = outcome, closed_at = moment where run.run_id = the_run and run.state = 'open';
    perform from sluice_runs as run where run.run_id = the_run for no key update;
    return query
    with folded as (
        delete from sluice_pages as line where line.run_id = the_run returning line.records, line.rejected
    ),
    added as (
        select count(*) as pages, coalesce(sum(folded.records), 0) as records,
            coalesce(sum(folded.rejected), 0) as rejected
        from folded
    )
    update sluice_runs as run set pages = run.pages + added.pages, records = run.records + added.records,
        rejected = run.rejected + added.rejected
    from added where run.run_id = the_run
    returning run.pages, run.records, run.rejected;
end
$$;
comment on function sluice_finish is
    'Closes a run, known or not, and folds its ledger lines into its own; a run that was closed keeps its outcome.';
