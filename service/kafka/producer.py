"""The producer of requests: commands written to Kafka and acknowledged by every replica."""

from collections.abc import Sequence
from dataclasses import dataclass

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from service.clock import Clock
from service.kafka.client import client_arguments
from service.kafka.topics import check_topics
from service.settings import Settings
from topics.catalog import COMMAND_BYTES_MAX, Catalog
from topics.codec import encode, headers, trace_of
from topics.command import Command
from topics.errors import SHOWN_CHARS_MAX, Rejected, Retryable, shortened
from topics.partitions import partitioner

REQUEST_TIMEOUT_MS = 30_000


@dataclass(frozen=True, slots=True)
class RecordPosition:
    """The position of a record in Kafka."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"


async def produce(
    settings: Settings, clock: Clock, catalog: Catalog, commands: Sequence[Command], sent_by: str
) -> list[RecordPosition]:
    """Write the commands in order; return their positions once every one is on all replicas.

    Rejected: a command does not fit, or a topic is missing or wrong, and nothing was written. Retryable: Kafka cannot
    be reached, or did not acknowledge in time; it is unknown whether it stored the command. Retries within the client
    write nothing twice (an idempotent producer).
    """
    for command in commands:
        _check_size(command)
    await check_topics(settings, clock, catalog)
    partition_of = partitioner(settings.partitions)
    producer = AIOKafkaProducer(
        **client_arguments(settings), acks="all", enable_idempotence=True, request_timeout_ms=REQUEST_TIMEOUT_MS
    )
    positions = []
    try:
        await producer.start()
        for command in commands:
            sent = await producer.send_and_wait(
                command.topic,
                encode(command),
                command.key.encode(),
                partition_of(command.key),
                headers=list(headers(command, trace_of(command.key), sent_by)),
            )
            positions.append(RecordPosition(sent.topic, sent.partition, sent.offset))
    except KafkaError as error:
        raise Retryable(
            f"Kafka at {settings.bootstrap} did not acknowledge {commands[len(positions)].key}: {error!r}. It may have "
            f"stored the command; {len(positions)} of {len(commands)} commands are confirmed"
        ) from error
    finally:
        await producer.stop()
    return positions


def _check_size(command: Command) -> None:
    size = len(command.key.encode()) + len(encode(command))
    if size > COMMAND_BYTES_MAX:
        whose = f"the {command.topic} command for {shortened(command.key, SHOWN_CHARS_MAX)}"
        raise Rejected(
            f"{whose} has {size:,} bytes with its key, and its topic takes {COMMAND_BYTES_MAX:,}: shorten its texts. "
            "Nothing was sent"
        )
