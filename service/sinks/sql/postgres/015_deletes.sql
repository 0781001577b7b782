-- What reconciliations have seen and have not seen. A row is never deleted but by way of sluice_deletes.

create table sluice_seen (
    run_id text collate "C" not null,
    id text collate "C" not null,
    difference text not null check (difference in ('new', 'changed', 'invisible', 'same', 'rejected')),
    primary key (run_id, id)
);
comment on table sluice_seen is
    'The keys that a reconciliation has read, in the transactions of its pages, and how the rows differed. id is empty for '
    'records without a key. Removed when the run is over.';

create table sluice_deletes (
    run_id text collate "C" not null,
    org text collate "C" not null,
    adapter text collate "C" not null,
    entity text collate "C" not null,
    id text collate "C" not null,
    state text not null check (
        state in ('found', 'deleted', 'kept', 'held', 'reported', 'discarded', 'outdated', 'undone')
    ),
    checked_at timestamptz,
    is_gone boolean,
    decided_at timestamptz,
    primary key (run_id, id)
);
create index sluice_deletes_held on sluice_deletes (org, adapter, entity) where state = 'held';
comment on table sluice_deletes is
    'Rows that a reconciliation has not seen, and what became of them. checked_at: when the API was asked for the single '
    'record, is_gone: what it said. Held ones wait for a person (sluice deletes).';

create view sluice_reconciliations as
select org, adapter, entity, run_id, closed_at, pages, records,
    (proof #>> '{comparison,seen}')::bigint as seen,
    (proof #>> '{comparison,new}')::bigint as new,
    (proof #>> '{comparison,changed}')::bigint as changed,
    (proof #>> '{comparison,invisible}')::bigint as invisible,
    (proof #>> '{comparison,missing}')::bigint as missing,
    (proof #>> '{comparison,deleted}')::bigint as deleted,
    (proof #>> '{comparison,kept}')::bigint as kept,
    (proof #>> '{comparison,held}')::bigint as held,
    (proof #>> '{comparison,verified}')::boolean as verified,
    (proof #>> '{comparison,invisible}')::double precision
        / nullif((proof #>> '{comparison,seen}')::bigint, 0) as invisible_change_rate,
    proof #>> '{comparison,reason}' as reason
from sluice_runs where type = 'reconciliation' and state = 'done' and proof ? 'comparison';
comment on view sluice_reconciliations is
    'What each reconciliation found. invisible_change_rate: the part of the records whose content had changed while their '
    'own time had not, so that no delta could show them.';

-- What a person should know of a run that is done takes the place of why it is not proven.
drop function sluice_open_leases;
create function sluice_open_leases(
    run_ids text[], workflows text[], numbers bigint[], orgs text[], adapters text[], entities text[], types text[],
    firsts bigint[], units bigint[], parent_asks int[], parents text[], moment timestamptz
) returns table (
    ask int, state text, run_pages bigint, run_records bigint, run_rejected bigint,
    parent text, page bigint, records bigint, rejected bigint, is_last boolean, next_cursor text,
    start_offset bigint, first_position text, last_position text, total bigint, remark text,
    asked_at bigint, newest_change bigint, since timestamptz
) language plpgsql as $$
begin
    perform sluice_open_runs(run_ids, workflows, numbers, orgs, adapters, entities, types, moment);
    return query
    select asked.ask::int, run.state, run.pages, run.records, run.rejected,
        line.parent, line.page, line.records, line.rejected, line.is_last, line.next_cursor,
        line.start_offset, line.first_position, line.last_position, line.total,
        case when run.proof ->> 'complete' = 'false' then 'not proven complete: ' || (run.proof ->> 'reason')
            when (run.proof #>> '{comparison,held}')::bigint > 0 then run.proof #>> '{comparison,reason}' else '' end,
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
