"""What a fetcher does with a command: read a lease, or finish a run. Answers the fact to tell, if there is one."""

import logging

from agents.activities.database import Database
from agents.activities.finish import finish_run
from agents.activities.leases import LeaseReader
from agents.activities.units import Failure, tell
from topics.commands import AnyCommand, Command, FetchPages, FinishRun
from topics.errors import Broken, Rejected, Retryable

log = logging.getLogger("sluice.fetcher")


class Work:
    """The boundary between the process and one command: a fault in one must not take the others along."""

    def __init__(self, reader: LeaseReader, database: Database) -> None:
        self._reader = reader
        self._database = database

    async def do(self, command: AnyCommand) -> Command | None:
        match command:
            case FetchPages():
                return await self._fetch(command)
            case FinishRun():
                return await self._finish(command)
        raise Rejected(f"a fetcher takes no {type(command).__name__}")

    async def _fetch(self, command: FetchPages) -> Command:
        try:
            return await self._reader.read(command)
        except Broken:
            raise
        except Exception as error:  # a bug met by one lease fails its entity, with the reason, and nothing else
            log.exception("lease failed unexpectedly", extra={"sluice.workflow": command.workflow})
            return tell(command, [Failure("rejected", f"unexpected {type(error).__name__}: {error}")], 0)

    async def _finish(self, command: FinishRun) -> Command | None:
        try:
            return await finish_run(self._database, command)
        except Retryable as error:  # the decider asks again when its deadline has passed
            log.warning("run not finished yet: %s", error, extra={"sluice.workflow": command.workflow})
            return None
