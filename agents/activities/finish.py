"""Closing a run: after it nothing can be written under it, and the database has added up what was."""

from agents.activities.database import Database
from agents.ports import RunEnd, RunRef
from topics.commands import ActionComplete, FinishRun
from topics.ids import parse_key


async def finish_run(database: Database, command: FinishRun) -> ActionComplete:
    """Safe to repeat: the answer is the same each time. The outcome told is the database's, not the command's."""
    name = parse_key(command.workflow)
    run = RunRef(command.workflow, command.run, command.org, command.adapter, name.entity, name.type)
    closed = await database.finish(RunEnd(run, command.outcome))
    return ActionComplete(
        workflow=command.workflow,
        run=command.run,
        action=command.action,
        outcome=closed.outcome,
        pages=closed.totals.pages,
        records=closed.totals.records,
        rejected=closed.totals.rejected,
    )
