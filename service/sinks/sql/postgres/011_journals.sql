-- Which journal the published state is of, and how far it is published. A Kafka cluster that is built anew has another
-- journal, whose epochs begin anew, too: rows are compared by (journal, epoch, seq).
create table sluice_journals (
    number bigint primary key,
    cluster_id text not null,
    topic_id text not null,
    registered_at timestamptz not null
);
comment on table sluice_journals is
    'The journals that this database has met, by the ids that Kafka gave to cluster and topic. The highest number is the '
    'present one.';

create table sluice_journal_progress (
    journal bigint not null,
    partition integer not null,
    next_offset bigint not null,
    epoch bigint not null,
    primary key (journal, partition)
);
comment on table sluice_journal_progress is
    'How far each partition of a journal is published, written in the transaction of what is published.';

alter table sluice_workflow_runs add column journal bigint not null default 0;
alter table sluice_workflow_runs add column rows_missing boolean not null default false;
alter table sluice_timeline add column journal bigint not null default 0;
comment on column sluice_workflow_runs.rows_missing is
    'The journal says that the run is done, and this database does not know it as done: it was restored, or lost commits.';
comment on column sluice_workflow_runs.superseded_by is
    'The run that replaced this one before its end; empty if a process that was cut off had begun it.';
create index sluice_workflow_runs_missing on sluice_workflow_runs (parent_run_id) where rows_missing;
