"""The runner of activities: the boundary between a fetcher's process and one command.

A fault in one command is reported to its workflow and does not affect the others.
"""

import logging
from collections.abc import Mapping

from agents.activities.actions import Activity, close_run_activity, run_action
from agents.activities.database import Database
from agents.activities.fetch import LeaseReader
from agents.activities.results import Failure, report
from topics.actions import RunAction
from topics.command import Command
from topics.errors import Broken, Rejected
from topics.kinds.entity import CLOSE_RUN, FetchPages

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

    async def _fetch(self, command: FetchPages) -> Command:
        try:
            return await self._reader.read(command)
        except Broken:
            raise
        except Exception as error:  # a bug met by one lease fails its entity, with the reason, and nothing else
            log.exception("lease failed unexpectedly", extra={"sluice.workflow": command.workflow})
            return report(command, [Failure("rejected", f"unexpected {type(error).__name__}: {error}")], 0)
