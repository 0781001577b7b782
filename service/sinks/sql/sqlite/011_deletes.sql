-- What reconciliations have seen and have not seen. A row is never deleted but by way of sluice_deletes.

create table sluice_seen (
    run_id text not null,
    id text not null,
    difference text not null check (difference in ('new', 'changed', 'invisible', 'same', 'rejected')),
    primary key (run_id, id)
) without rowid;

create table sluice_deletes (
    run_id text not null,
    org text not null,
    adapter text not null,
    entity text not null,
    id text not null,
    state text not null check (
        state in ('found', 'deleted', 'kept', 'held', 'reported', 'discarded', 'outdated', 'undone')
    ),
    checked_at timestamp_text,
    is_gone boolean,
    decided_at timestamp_text,
    primary key (run_id, id)
) without rowid;
create index sluice_deletes_held on sluice_deletes (org, adapter, entity) where state = 'held';

create view sluice_reconciliations as
select org, adapter, entity, run_id, closed_at, pages, records,
    proof ->> '$.comparison.seen' as seen,
    proof ->> '$.comparison.new' as new,
    proof ->> '$.comparison.changed' as changed,
    proof ->> '$.comparison.invisible' as invisible,
    proof ->> '$.comparison.missing' as missing,
    proof ->> '$.comparison.deleted' as deleted,
    proof ->> '$.comparison.kept' as kept,
    proof ->> '$.comparison.held' as held,
    proof ->> '$.comparison.verified' as verified,
    (proof ->> '$.comparison.invisible') * 1.0 / nullif(proof ->> '$.comparison.seen', 0) as invisible_change_rate,
    proof ->> '$.comparison.reason' as reason
from sluice_runs where type = 'reconciliation' and state = 'done' and proof ->> '$.comparison' is not null;
