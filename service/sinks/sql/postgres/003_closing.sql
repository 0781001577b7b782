-- Runs are closed many at a time, by whoever reads their last page; and a run that is complete says so when it is asked
-- for, with its sums.

drop function sluice_grant;
drop function sluice_finish;

create function sluice_grant(
    run_ids text[], workflows text[], numbers bigint[], orgs text[], adapters text[], entities text[], types text[],
    firsts bigint[], units bigint[], parent_asks int[], parents text[], moment timestamptz
) returns table (
    ask int, state text, run_pages bigint, run_records bigint, run_rejected bigint,
    parent text, page bigint, records bigint, rejected bigint, is_last boolean, next_cursor text
) language plpgsql as $$
begin
    perform sluice_open_runs(run_ids, workflows, numbers, orgs, adapters, entities, types, moment);
    return query
    select asked.ask::int, run.state, run.pages, run.records, run.rejected,
        line.parent, line.page, line.records, line.rejected, line.is_last, line.next_cursor
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
comment on function sluice_grant is
    'Opens runs; tells the state and the sums of each, and the ledger of the open ones: one row per ask (counted from '
    '1) and line, one with nulls for no line.';

create function sluice_close_runs(
    run_ids text[], workflows text[], numbers bigint[], orgs text[], adapters text[], entities text[], types text[],
    outcomes text[], moment timestamptz
) returns table (ask int, outcome text, pages bigint, records bigint, rejected bigint) language plpgsql as $$
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
    return query
    with folded as (
        delete from sluice_pages as line where line.run_id = any (run_ids)
        returning line.run_id, line.records, line.rejected
    ),
    added as (
        select folded.run_id, count(*) as pages, sum(folded.records) as records, sum(folded.rejected) as rejected
        from folded group by folded.run_id
    ),
    asked as (
        select * from unnest(run_ids, outcomes) with ordinality as asked (run_id, outcome, ask)
    ),
    closing as (
        select distinct on (asked.run_id) asked.run_id, asked.outcome,
            coalesce(added.pages, 0) as pages, coalesce(added.records, 0) as records,
            coalesce(added.rejected, 0) as rejected
        from asked left join added on added.run_id = asked.run_id
        order by asked.run_id, asked.ask
    ),
    closed as (
        update sluice_runs as run set
            state = case run.state when 'open' then closing.outcome else run.state end,
            closed_at = coalesce(run.closed_at, moment), pages = run.pages + closing.pages,
            records = run.records + closing.records, rejected = run.rejected + closing.rejected
        from closing where run.run_id = closing.run_id
        returning run.run_id, run.state, run.pages, run.records, run.rejected
    )
    select asked.ask::int, case closed.state when 'superseded' then asked.outcome else closed.state end,
        closed.pages, closed.records::bigint, closed.rejected::bigint
    from asked join closed on closed.run_id = asked.run_id
    order by asked.ask;
end
$$;
comment on function sluice_close_runs is
    'Closes runs, known or not, and folds their ledger lines into their own; a run that was closed keeps its outcome.';
