"""A fetcher's process over a database and an API that fail, and the count of pages that were asked for in vain."""

from collections.abc import Mapping, Sequence
from random import Random

from agents.activities.database import Database
from agents.activities.finish import finish_run
from agents.activities.leases import LeaseReader
from agents.activities.source import PageAsk
from agents.intake import read_command
from agents.local import MovableClock
from agents.ports import LeaseAsk, LeaseGrant, PageOutcome, PageWrite, RunRef, RunTotals
from agents.records import PageBody
from agents.strict.batch import Out
from manifests.entity import Adapter
from tests.simulation.broker import Broker
from tests.support.memory import ListSource, MemorySink
from topics.codec import encode
from topics.commands import Command, FetchPages, FinishRun, RunOutcome
from topics.errors import Retryable


class Died(Exception):
    """The process ends here; nothing in the product may catch it."""


class ShakySink(MemorySink):
    """Fails before the effect, or after it: then nobody knows whether it took place. Or the process dies there."""

    def __init__(self, random: Random) -> None:
        super().__init__()
        self._random = random
        self.trouble = 0.0

    async def grant(self, asks: Sequence[LeaseAsk]) -> Sequence[LeaseGrant]:
        self._before()
        grants = await super().grant(asks)
        self._after()
        return grants

    async def commit(self, pages: Sequence[PageWrite]) -> Sequence[PageOutcome]:
        self._before()
        outcomes = await super().commit(pages)
        self._after()
        return outcomes

    async def finish(self, run: RunRef, outcome: RunOutcome) -> RunTotals:
        self._before()
        totals = await super().finish(run, outcome)
        self._after()
        return totals

    def _before(self) -> None:
        if self._random.random() < self.trouble:
            raise Retryable("the database is away")

    def _after(self) -> None:
        if self._random.random() < self.trouble:
            raise Died if self._random.random() < 0.3 else Retryable("the outcome of the commit is not known")


class ShakySource(ListSource):
    """Refuses now and then; `asked_again` lists the pages that were fetched although they were committed."""

    def __init__(self, data: dict[str, list[str]], random: Random, sink: MemorySink) -> None:
        super().__init__(data)
        self._random = random
        self._sink = sink
        self.now_reading = ""
        self.trouble_rate = 0.0
        self.asked_again: list[tuple[str, str, int]] = []

    async def fetch(self, ask: PageAsk) -> PageBody | None:
        run = self._sink.runs.get(self.now_reading)
        parent = ask.parent.key if ask.parent else ""
        if run is not None and (parent, ask.page) in run.lines:
            self.asked_again.append((ask.entity.name, parent, ask.page))
        if self._random.random() < self.trouble_rate:
            raise Died if self._random.random() < 0.3 else Retryable("503")
        return await super().fetch(ask)


class Fetcher:
    """Takes commands from the committed offset on; a result is on the broker before its offset is committed."""

    def __init__(
        self, broker: Broker, source: ShakySource, sink: ShakySink, adapters: Mapping[str, Adapter], clock: MovableClock
    ) -> None:
        self._broker = broker
        self._source = source
        self._database = Database(sink, clock.sleep)
        self._reader = LeaseReader(source, self._database, adapters, clock)

    async def work(self, topic: str, offset: int) -> None:
        """One command, told to the broker; the caller commits."""
        command = read_command(self._broker.topics[topic][offset])
        result: Command
        match command:
            case FetchPages():
                self._source.now_reading = f"{command.workflow}@{command.run}"
                result = await self._reader.read(command)
            case FinishRun():
                try:
                    result = await finish_run(self._database, command)
                except Retryable:
                    return  # the decider asks again
            case _:
                raise AssertionError(type(command).__name__)
        self._broker.append(result.topic, Out(result.key.encode(), encode(result)))
