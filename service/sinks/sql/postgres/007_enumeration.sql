-- A ledger line says which part of its collection the page showed when it was read: from which offset on, behind which
-- position and up to which one in the order of the records, and how many there were in all by the source's word. From
-- these a run proves that no record is missing between two pages; the proof is kept with the run.

alter table sluice_pages add column start_offset bigint;
alter table sluice_pages add column first_position text;
alter table sluice_pages add column last_position text;
alter table sluice_pages add column total bigint;
comment on column sluice_pages.page is 'From 1 on; a repair, read again around a gap between two pages, is negative.';

alter table sluice_runs add column proof jsonb;
comment on column sluice_runs.proof is
    'Of a run that read everything: whether it saw every record that existed from its beginning to its end (complete), '
    'and how that is known or why it is not (reason).';

drop function sluice_open_leases;
create function sluice_open_leases(
    run_ids text[], workflows text[], numbers bigint[], orgs text[], adapters text[], entities text[], types text[],
    firsts bigint[], units bigint[], parent_asks int[], parents text[], moment timestamptz
) returns table (
    ask int, state text, run_pages bigint, run_records bigint, run_rejected bigint,
    parent text, page bigint, records bigint, rejected bigint, is_last boolean, next_cursor text,
    start_offset bigint, first_position text, last_position text, total bigint, unproven text
) language plpgsql as $$
begin
    perform sluice_open_runs(run_ids, workflows, numbers, orgs, adapters, entities, types, moment);
    return query
    select asked.ask::int, run.state, run.pages, run.records, run.rejected,
        line.parent, line.page, line.records, line.rejected, line.is_last, line.next_cursor,
        line.start_offset, line.first_position, line.last_position, line.total,
        case when run.proof ->> 'complete' = 'false' then run.proof ->> 'reason' else '' end
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

drop function sluice_close_runs;
create function sluice_close_runs(
    run_ids text[], workflows text[], numbers bigint[], orgs text[], adapters text[], entities text[], types text[],
    outcomes text[], moment timestamptz, proofs text[]
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
        select * from unnest(run_ids, outcomes, proofs) with ordinality as asked (run_id, outcome, proof, ask)
    ),
    closing as (
        select distinct on (asked.run_id) asked.run_id, asked.outcome, asked.proof,
            coalesce(added.pages, 0) as pages, coalesce(added.records, 0) as records,
            coalesce(added.rejected, 0) as rejected
        from asked left join added on added.run_id = asked.run_id
        order by asked.run_id, asked.ask
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
    from asked join closed on closed.run_id = asked.run_id
    order by asked.ask;
end
$$;
comment on function sluice_close_runs is
    'Closes runs, known or not, with their proofs, and folds their ledger lines into their own; a run that was closed '
    'keeps its outcome.';
