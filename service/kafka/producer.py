"""A command of a person, written to Kafka and acknowledged. Knows nothing of how it is answered."""

from collections.abc import Sequence
from dataclasses import dataclass

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from agents.faust.wiring import partitioner
from service.clock import Clock
from service.kafka.client import client_arguments
from service.kafka.topics import check_topics
from service.settings import Settings
from topics.codec import encode, headers, trace_of
from topics.commands import Command
from topics.errors import Retryable

REQUEST_TIMEOUT_MS = 30_000


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record stands in Kafka."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"


async def produce(settings: Settings, clock: Clock, commands: Sequence[Command], sent_by: str) -> list[Place]:
    """Write the commands in order; return where they stand once every one is on all replicas.

    Rejected: the topics are not as they must be, nothing was written. Retryable: Kafka cannot be reached, or did not
    acknowledge in time; then it is not known whether it took the command. A retry within the client writes nothing
    twice (an idempotent producer).
    """
    await check_topics(settings, clock)
    partition_of = partitioner(settings.partitions)
    producer = AIOKafkaProducer(
        **client_arguments(settings),
        acks="all",
        enable_idempotence=True,
        request_timeout_ms=REQUEST_TIMEOUT_MS,
    )
    places = []
    try:
        await producer.start()
        for command in commands:
            told = await producer.send_and_wait(
                command.topic,
                encode(command),
                command.key.encode(),
                partition_of(command.key),
                headers=list(headers(command, trace_of(command.key), sent_by)),
            )
            places.append(Place(told.topic, told.partition, told.offset))
    except KafkaError as error:
        raise Retryable(
            f"Kafka at {settings.bootstrap} did not acknowledge {commands[len(places)].key}: {error!r}. It may have "
            f"taken the command all the same; {len(places)} of {len(commands)} are certain"
        ) from error
    finally:
        await producer.stop()
    return places
