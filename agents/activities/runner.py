"""The runner of activities: the boundary between a fetcher's process and one command.

A fault in one command is reported to its workflow and does not affect the others.
"""

import logging
from collections.abc import Mapping

from agents.activities.actions import Activity, close_run_activity, failed_action, run_action
from agents.activities.database import Database
from agents.activities.fetch import LeaseReader
from agents.activities.results import Failure, report
from topics.actions import RunAction
from topics.catalog import COMMAND_BYTES_MAX
from topics.codec import encode
from topics.command import Command
from topics.errors import Broken, Rejected
from topics.kinds.entity import CLOSE_RUN, FetchPages, PageDone

log = logging.getLogger("sluice.activities")


class ActivityRunner:
    """Runs commands of the data topics. `more` are activities besides those that Sluice comes with, by name."""

    def __init__(self, reader: LeaseReader, database: Database, more: Mapping[str, Activity] | None = None) -> None:
        self._reader = reader
        self._activities = {CLOSE_RUN: close_run_activity(database), **(more or {})}

    async def run(self, command: Command) -> Command:
        """The result to report. Rejected: the command is none of a data topic."""
        match command:
            case FetchPages():
                return await self._fetch(command)
            case RunAction():
                return await run_action(self._activities, command)
        raise Rejected(f"a fetcher takes no {type(command).__name__}")

    def refused(self, command: Command, reason: str) -> Command:
        """The result to report of a command that is not run. Rejected: the command is none of a data topic."""
        match command:
            case FetchPages():
                return report(command, [Failure("rejected", reason)], 0)
            case RunAction():
                return failed_action(command, "rejected", reason)
        raise Rejected(f"a fetcher takes no {type(command).__name__}")

    async def _fetch(self, command: FetchPages) -> Command:
        try:
            return _fitting(command, await self._reader.read(command))
        except Broken:
            raise
        except Exception as error:  # a bug met by one lease fails its entity, with the reason, and nothing else
            log.exception("lease failed unexpectedly", extra={"sluice.workflow": command.workflow})
            return report(command, [Failure("rejected", f"unexpected {type(error).__name__}: {error}")], 0)


def _fitting(command: FetchPages, done: PageDone) -> PageDone:
    """The report, if it fits into a message; else one that fails the entity, since without its cursor nobody can
    continue."""
    size = len(encode(done))
    if size <= COMMAND_BYTES_MAX:
        return done
    reason = (
        f"the report on {done.units} units from {command.first} on has {size:,} bytes, at most {COMMAND_BYTES_MAX:,} "
        f"fit into a message: the link to the page behind them has {len(done.next_cursor or ''):,} characters"
    )
    return report(command, [Failure("rejected", reason)], done.elapsed_ms).model_copy(update={"next_cursor": None})
