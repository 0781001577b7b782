-- Which journal the published state is of, and how far it is published. A Kafka cluster that is built anew has another
-- journal, whose epochs begin anew, too: rows are compared by (journal, epoch, seq).
create table sluice_journals (
    number integer primary key,
    cluster_id text not null,
    topic_id text not null,
    registered_at text not null
);

create table sluice_journal_progress (
    journal integer not null,
    partition integer not null,
    next_offset integer not null,
    epoch integer not null,
    primary key (journal, partition)
) without rowid;

-- rows_missing: the journal says that the run is done, and this database does not know it as done: it was restored, or
-- lost commits. superseded_by is empty where a process that was cut off had begun the run.
alter table sluice_workflow_runs add column journal integer not null default 0;
alter table sluice_workflow_runs add column rows_missing integer not null default 0;
alter table sluice_timeline add column journal integer not null default 0;
create index sluice_workflow_runs_missing on sluice_workflow_runs (parent_run_id) where rows_missing;
