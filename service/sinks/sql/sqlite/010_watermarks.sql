-- Until where the changes of an entity are in the database, by the source's clock: a delta reads from there on. A run that is
-- complete moves it, in the transaction that closes it. run_id is that run, empty if a person set it. ignored_at: when a
-- delta last read everything instead.
create table sluice_watermarks (
    org text not null,
    adapter text not null,
    entity text not null,
    at text not null,
    run_id text not null,
    set_at text not null,
    ignored_at text,
    primary key (org, adapter, entity)
) without rowid;

-- Of a delta: the watermark when it was opened. Null: it reads everything, as there was none or the API ignores it.
alter table sluice_runs add column since text;

-- Both by the source's clock, in Unix microseconds: when the page was requested, and the time of its newest change.
alter table sluice_pages add column asked_at integer;
alter table sluice_pages add column newest integer;
