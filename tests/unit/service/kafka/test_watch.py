"""The watch of the journal's identity, on a cluster that is built anew."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from service.kafka import watch
from service.kafka.client import ClientArguments
from service.kafka.cluster import FoundCluster, FoundTopic
from service.kafka.journal import Journal
from service.kafka.watch import EXIT_ANOTHER_JOURNAL, watch_journal
from topics.catalog import CHANGELOG
from topics.errors import Retryable

FIRST, SECOND = ({CHANGELOG: FoundTopic(8, True, id_)} for id_ in ("first", "second"))


class Ended(Exception):
    """The process, with this code."""


async def test_a_process_ends_when_the_journal_is_another_one_and_not_while_kafka_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers: list[Any] = [FIRST, Retryable("no broker"), {}, FIRST, SECOND]

    class Cluster:
        async def describe(self) -> FoundCluster:
            answer = answers.pop(0)
            if isinstance(answer, Retryable):
                raise answer
            return FoundCluster("cluster", answer)

    @asynccontextmanager
    async def open_cluster(client: ClientArguments) -> AsyncIterator[Cluster]:
        yield Cluster()

    def end(code: int) -> None:
        raise Ended(code)

    monkeypatch.setattr(watch, "WATCH_SECONDS", 0)
    monkeypatch.setattr(watch, "open_cluster", open_cluster)
    monkeypatch.setattr("os._exit", end)
    with pytest.raises(Ended) as ended:
        await asyncio.wait_for(watch_journal(ClientArguments(), Journal("cluster", "first")), 10)
    assert (ended.value.args, answers) == ((EXIT_ANOTHER_JOURNAL,), [])
