-- A ledger line says which part of its collection the page showed when it was read: from which offset on, behind which
-- position and up to which one in the order of the records, and how many there were in all by the source's word. From
-- these a run proves that no record is missing between two pages; the proof, JSON, is kept with the run. A page that was
-- read again around a gap between two pages has a negative number.
alter table sluice_pages add column start_offset integer;
alter table sluice_pages add column first_position text;
alter table sluice_pages add column last_position text;
alter table sluice_pages add column total integer;
alter table sluice_runs add column proof text;
