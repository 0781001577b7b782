-- A workflow's newest runs are found by its key and the run's number at the end of run_id.
drop index sluice_workflow_runs_by_workflow;
create index sluice_workflow_runs_by_workflow on sluice_workflow_runs (workflow, run_id);
