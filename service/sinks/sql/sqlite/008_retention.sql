-- Retention: what is old is found by its time.
create index sluice_runs_by_opening on sluice_runs (opened_at);
create index sluice_timeline_by_time on sluice_timeline (at);
create index rejected_records_by_time on rejected_records (rejected_at);
