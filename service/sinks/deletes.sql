-- Statements of reconciliations, in both databases: what a run has not seen, how it was confirmed, and deletes. $1 is the
-- run. In braces: tables, their columns, and conditions of those that stand under parents.

-- name: forget_seen
delete from sluice_deletes where run_id = $1 and state = 'found' and exists (
    select 1 from sluice_seen as seen where seen.run_id = $1 and seen.id = sluice_deletes.id
)

-- name: find_missing
insert into sluice_deletes (run_id, org, adapter, entity, id, state)
select run.run_id, run.org, run.adapter, run.entity, stored.id, 'found'
from sluice_runs as run join "{table}" as stored on stored.org = run.org
where run.run_id = $1 and run.state = 'open' and stored.deleted_at is null and stored.fetched_at < run.opened_at
    and not exists (select 1 from sluice_seen as seen where seen.run_id = run.run_id and seen.id = stored.id)
    {below}
on conflict (run_id, id) do nothing

-- name: below
and (exists (
    select 1 from sluice_pages as line
    where line.run_id = run.run_id and line.parent = stored."{column}" and line.is_last and line.asked_at is not null
) {cascade})

-- name: below_deleted
or not exists (
    select 1 from "{above}" as above
    where above.org = stored.org and above.id = stored."{column}" and above.deleted_at is null
)

-- name: missing_sums
select (select count(*) from "{table}" where org = $2 and deleted_at is null),
    count(*), count(checked_at), count(*) filter (where not is_gone),
    exists (select 1 from sluice_seen where run_id = $1 and id = '')
from sluice_deletes where run_id = $1

-- name: unchecked
select stored.id, stored.raw{parent} from (
    select id, checked_at, row_number() over (order by id) - 1 as place, count(*) over () as total
    from sluice_deletes where run_id = $1
) as one join "{table}" as stored on stored.org = $2 and stored.id = one.id {above}
where one.checked_at is null and one.place % case when one.total > $3 then (one.total + $3 - 1) / $3 else 1 end = 0
order by one.place limit $4

-- name: witness
select stored.id, stored.raw{parent}
from sluice_seen as seen join "{table}" as stored on stored.org = $2 and stored.id = seen.id {above}
where seen.run_id = $1 and stored.deleted_at is null limit 1

-- name: above
join "{above}" as above on above.org = stored.org and above.id = stored."{column}"

-- name: note_check
update sluice_deletes set checked_at = $3, is_gone = $4 where run_id = $1 and id = $2 and state = 'found'

-- name: lock_run
select 1 from sluice_runs where run_id = $1 and state = 'open' {row_lock}

-- name: ledger_of
select count(*) from sluice_runs as run left join sluice_pages as line on line.run_id = run.run_id
where run.run_id = $1 and run.state = 'open' group by run.run_id having count(line.run_id) = $2

-- name: decide
update sluice_deletes set decided_at = $3, state = case when is_gone then cast($2 as text) when is_gone is null
    then cast($2 as text) else 'kept' end
where run_id = $1 and state = 'found'

-- name: delete_rows
update "{table}" as stored set deleted_at = coalesce(one.checked_at, run.opened_at), deleted_by_run = one.run_id
from sluice_deletes as one join sluice_runs as run on run.run_id = one.run_id
where one.run_id = $1 and one.state = 'deleted' and stored.org = one.org and stored.id = one.id
    and stored.deleted_at is null and stored.fetched_at < coalesce(one.checked_at, run.opened_at)

-- name: delete_below
update "{below}" as stored set deleted_at = above.deleted_at, deleted_by_run = above.deleted_by_run
from "{table}" as above
where above.org = $2 and above.deleted_by_run = $1 and stored.org = above.org and stored."{column}" = above.id
    and stored.deleted_at is null

-- name: outdate_held
update sluice_deletes set state = 'outdated', decided_at = $5
where org = $2 and adapter = $3 and entity = $4 and run_id <> $1 and state = 'held'

-- name: seen_sums
select difference, count(*) from sluice_seen where run_id = $1 and id <> '' group by difference

-- name: decided_sums
select state, count(*) from sluice_deletes where run_id = $1 group by state

-- name: deletes
select org, adapter, entity, run_id, state, count(*), max(decided_at) from sluice_deletes
where $1 in ('', org) and $2 in ('', run_id) and state not in ('found', 'kept', 'outdated')
group by org, adapter, entity, run_id, state order by max(decided_at) desc, entity, state limit $3

-- name: deletes_of_run
select entity, id, state, checked_at is not null from sluice_deletes where run_id = $1 order by id limit $2

-- name: reconciled_since
select max(later.run_id) from sluice_runs as own join sluice_runs as later
    on (later.org, later.adapter, later.entity) = (own.org, own.adapter, own.entity)
where own.run_id = $1 and later.type in ('full', 'reconciliation') and later.state = 'done'
    and later.opened_at > own.opened_at

-- name: settle
update sluice_deletes set state = $2, decided_at = $3 where run_id = $1 and state = $4

-- name: undo_rows
update "{table}" set deleted_at = null, deleted_by_run = null where org = $2 and deleted_by_run = $1
