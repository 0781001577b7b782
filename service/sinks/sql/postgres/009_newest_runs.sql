-- A workflow's newest runs are found by its key and the run's number at the end of run_id.
drop index sluice_workflow_runs_by_workflow;
create index sluice_workflow_runs_by_workflow on sluice_workflow_runs (workflow, run_id);

-- Opening a run looks at the newest known run of its workflow alone: no other can be open. The function of 001_ledger.sql
-- read all runs that the workflow had had.
create or replace function sluice_open_runs(
    run_ids text[], workflows text[], numbers bigint[], orgs text[], adapters text[], entities text[], types text[],
    moment timestamptz
) returns void language plpgsql as $$
begin
    if not exists (
        select from unnest(run_ids) as asked (run_id)
        where not exists (select from sluice_runs as known where known.run_id = asked.run_id)
    ) then
        return;
    end if;
    -- In one order everywhere: two processes that open the same workflows wait for each other instead of deadlocking.
    perform pg_advisory_xact_lock(1397511497, lock.key)
    from (select distinct hashtext(asked.workflow) as key from unnest(workflows) as asked (workflow) order by 1) as lock;
    update sluice_runs as older set state = 'superseded', closed_at = moment
    where older.run_id = any (array(
        select locked.run_id from sluice_runs as locked
        join (
            select asked.workflow, max(asked.number) as number, (
                select max(known.number) from sluice_runs as known where known.workflow = asked.workflow
            ) as newest
            from unnest(workflows, numbers) as asked (workflow, number) group by asked.workflow
        ) as known on locked.workflow = known.workflow and locked.number = known.newest
        where known.newest < known.number and locked.state = 'open'
        order by locked.run_id
        for no key update of locked
    ));
    insert into sluice_runs (run_id, workflow, number, org, adapter, entity, type, state, opened_at)
    select distinct on (asked.workflow)
        asked.run_id, asked.workflow, asked.number, asked.org, asked.adapter, asked.entity, asked.type, 'open', moment
    from unnest(run_ids, workflows, numbers, orgs, adapters, entities, types)
        as asked (run_id, workflow, number, org, adapter, entity, type)
    where not exists (
        select from sluice_runs as known where known.workflow = asked.workflow and known.number >= asked.number
    )
    order by asked.workflow, asked.number desc;
end
$$;
