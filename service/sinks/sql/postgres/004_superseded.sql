-- A run that a newer one of its workflow has replaced before it ended has no end of its own in the journal. It says here
-- by which run. status stays what the journal said last.
alter table sluice_sync_runs add column superseded_by text;
alter table sluice_entity_runs add column superseded_by text;
create index sluice_entity_runs_by_workflow on sluice_entity_runs (workflow);
