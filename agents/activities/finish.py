"""Closing a run: after it nothing can be written under it, and the database has added up what was."""

from agents.activities.database import Database
from agents.ports import RunRef
from topics.commands import ActionComplete, FinishRun
from topics.ids import parse_key


async def finish_run(database: Database, command: FinishRun) -> ActionComplete:
    """Safe to repeat: the totals are the same each time."""
    name = parse_key(command.workflow)
    run = RunRef(command.workflow, command.run, command.org, command.adapter, name.entity, name.type)
    totals = await database.finish(run, command.outcome)
    return ActionComplete(
        workflow=command.workflow,
        run=command.run,
        action=command.action,
        outcome=command.outcome,
        pages=totals.pages,
        records=totals.records,
        rejected=totals.rejected,
    )
