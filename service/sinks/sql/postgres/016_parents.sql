-- When what stands under each parent was read last: a delta reads under those that have changed since, and under those that
-- nobody has looked at for long.

create table sluice_parents (
    org text collate "C" not null,
    adapter text collate "C" not null,
    entity text collate "C" not null,
    parent text collate "C" not null,
    read_at timestamptz not null,
    primary key (org, adapter, entity, parent)
);
create index sluice_parents_oldest on sluice_parents (org, adapter, entity, read_at, parent);
comment on table sluice_parents is
    'Of entities under parents: when the run began that has read all of the entity under the parent last.';

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
        returning line.run_id, line.records, line.rejected, line.parent, line.is_last
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
    -- In the order of the key, so that two transactions wait for each other instead of deadlocking.
    read as (
        insert into sluice_parents as known (org, adapter, entity, parent, read_at)
        select run.org, run.adapter, run.entity, folded.parent, max(run.opened_at)
        from folded join closing on closing.run_id = folded.run_id join sluice_runs as run on run.run_id = folded.run_id
        where folded.is_last and folded.parent <> '' and run.state = 'open' and closing.outcome = 'done'
            and closing.proof::jsonb #>> '{comparison,verified}' is distinct from 'true'
        group by run.org, run.adapter, run.entity, folded.parent
        order by run.org, run.adapter, run.entity, folded.parent
        on conflict (org, adapter, entity, parent) do update set read_at = excluded.read_at
        where excluded.read_at > known.read_at
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
