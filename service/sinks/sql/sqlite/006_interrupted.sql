-- How often each command that was delivered again, since the process that had it ended, was begun by a fetcher, until it
-- ends: one that was begun too often is set aside. begun_ms (Unix ms) is when it was begun last.
create table sluice_interrupted (
    command text primary key,
    connection text not null,
    times integer not null,
    begun_ms integer not null
);
