-- These rows are changed soon after they came, in columns that no index has. With room beside them on their page the
-- change touches no index.
alter table sluice_runs set (fillfactor = 50);
alter table sluice_sync_runs set (fillfactor = 50);
alter table sluice_entity_runs set (fillfactor = 50);
