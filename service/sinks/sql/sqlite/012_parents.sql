-- When what stands under each parent was read last: a delta reads under those that have changed since, and under those that
-- nobody has looked at for long. read_at is when the run began that has read all of the entity under the parent.

create table sluice_parents (
    org text not null,
    adapter text not null,
    entity text not null,
    parent text not null,
    read_at text not null,
    primary key (org, adapter, entity, parent)
) without rowid;
create index sluice_parents_oldest on sluice_parents (org, adapter, entity, read_at, parent);
