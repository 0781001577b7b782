-- Commands that were delivered again, since the process that had them ended. One of them may have ended it.
create table sluice_interrupted (
    command text collate "C" primary key,
    connection text collate "C" not null,
    times bigint not null,
    begun_ms bigint not null
);
comment on table sluice_interrupted is
    'How often each command that was delivered again was begun by a fetcher, until it ends: one that was begun too often '
    'is set aside. begun_ms (Unix ms) is when it was begun last.';
