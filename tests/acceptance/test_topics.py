"""`sluice topics` against a real broker: what is missing is created, what is wrong is rejected, the rest left alone."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from typer.testing import CliRunner, Result

from agents.kinds import SHIPPED
from service.cli import topics as cli
from service.clock import SystemClock
from service.kafka.client import client_arguments
from service.kafka.cluster import open_cluster
from service.kafka.topics import check_topics, ensure_topics, wanted_topics
from service.settings import Settings, child_environment
from tests.support.kafka import until_created_again
from topics.catalog import CHANGELOG
from topics.errors import Rejected, Retryable

pytestmark = pytest.mark.kafka
CLOCK = SystemClock()
CATALOG = SHIPPED.catalog
DELETE_POLLS_MAX = 200

Run = Callable[..., Result]


async def ours(admin: AIOKafkaAdminClient) -> list[str]:
    """All topics but those that Kafka keeps for itself."""
    return [topic for topic in await admin.list_topics() if not topic.startswith("__")]


@pytest.fixture
async def settings(kafka_settings: Settings) -> AsyncIterator[Settings]:
    """A broker without our topics."""
    admin = AIOKafkaAdminClient(**client_arguments(kafka_settings))
    await admin.start()
    try:
        await admin.delete_topics(await ours(admin))
        for _ in range(DELETE_POLLS_MAX):
            if not await ours(admin):
                break
            await asyncio.sleep(0.05)
        yield kafka_settings.model_copy(update={"partitions": 2})
    finally:
        await admin.close()


@pytest.fixture
def run(settings: Settings) -> Run:
    """`sluice topics …` with these settings."""
    return lambda *arguments: CliRunner().invoke(
        cli.app, arguments, env=child_environment(settings) | {"SLUICE_PARTITIONS": "2"}
    )


async def create(settings: Settings, name: str, partitions: int = 2, **config: str) -> None:
    configs = {key.replace("_", "."): value for key, value in config.items()}
    spec = NewTopic(name, partitions, 1, topic_configs=configs)
    async with open_cluster(client_arguments(settings)) as cluster:
        await cluster.create([spec])


async def test_all_topics_are_created_once_and_found_good(settings: Settings) -> None:
    assert set(await ensure_topics(settings, CLOCK, CATALOG)) == {spec.name for spec in CATALOG.topics}
    assert await ensure_topics(settings, CLOCK, CATALOG) == ()
    await check_topics(settings, CLOCK, CATALOG)


async def test_the_journal_is_made_to_be_compacted_and_stamped_by_the_broker(settings: Settings) -> None:
    await ensure_topics(settings, CLOCK, CATALOG)
    [wanted] = [spec for spec in wanted_topics(settings, CATALOG) if spec.name == CHANGELOG]
    async with open_cluster(client_arguments(settings)) as cluster:
        config = (await cluster.configs([CHANGELOG]))[CHANGELOG]
    assert {key: config[key] for key in wanted.topic_configs} == wanted.topic_configs
    assert wanted.topic_configs["cleanup.policy"] == "compact"


async def test_a_check_creates_nothing_and_names_each_missing_topic(settings: Settings) -> None:
    with pytest.raises(Rejected) as caught:
        await check_topics(settings, CLOCK, CATALOG)
    assert str(caught.value).count("is missing: run `sluice topics create`") == len(CATALOG.topics)
    async with open_cluster(client_arguments(settings)) as cluster:
        assert "start-sync" not in await cluster.topics()


async def test_a_topic_that_is_created_again_has_another_id_in_the_same_cluster(settings: Settings) -> None:
    await ensure_topics(settings, CLOCK, CATALOG)
    async with open_cluster(client_arguments(settings)) as cluster:
        before = await cluster.describe()
        await cluster._admin.delete_topics(["control"])
        await until_created_again(settings, CATALOG, "control")
        after = await cluster.describe()
    assert before.id == after.id != ""
    changed = {name for name, topic in after.topics.items() if topic.id != before.topics[name].id}
    assert changed == {"control"}
    assert len({after.topics[spec.name].id for spec in CATALOG.topics}) == len(CATALOG.topics)


async def test_a_topic_with_another_partition_count_is_rejected_and_left_alone(settings: Settings) -> None:
    await create(settings, "fetch-page", partitions=3, message_timestamp_type="LogAppendTime")
    for ensure in (ensure_topics, check_topics):
        with pytest.raises(Rejected, match="fetch-page has 3 partitions, SLUICE_PARTITIONS is 2"):
            await ensure(settings, CLOCK, CATALOG)


async def test_a_topic_that_kafka_created_by_itself_is_rejected(settings: Settings) -> None:
    await create(settings, CHANGELOG)
    with pytest.raises(Rejected) as caught:
        await ensure_topics(settings, CLOCK, CATALOG)
    assert f"{CHANGELOG} has cleanup.policy=delete, it must be compact" in str(caught.value)
    assert f"{CHANGELOG} has message.timestamp.type=CreateTime, it must be LogAppendTime" in str(caught.value)


async def test_what_an_operator_has_set_is_kept(settings: Settings) -> None:
    await create(settings, "page-done", message_timestamp_type="LogAppendTime", retention_ms="86400000")
    await ensure_topics(settings, CLOCK, CATALOG)
    async with open_cluster(client_arguments(settings)) as cluster:
        assert (await cluster.configs(["page-done"]))["page-done"]["retention.ms"] == "86400000"


async def test_more_replicas_than_brokers_are_rejected(settings: Settings) -> None:
    with pytest.raises(Rejected, match=r"could not be created: .*replication factor"):
        await ensure_topics(settings.model_copy(update={"replication": 3}), CLOCK, CATALOG)


async def test_a_cluster_that_is_not_there_is_reported_at_once() -> None:
    with pytest.raises(Retryable, match=r"no Kafka broker accepted a connection at 127\.0\.0\.1:1 "):
        await check_topics(Settings(kafka_bootstrap="127.0.0.1:1"), CLOCK, CATALOG)


def test_the_commands_create_check_and_list(run: Run) -> None:
    rejected = run("check")
    assert isinstance(rejected.exception, Rejected)
    assert run("create").stdout.splitlines()[-1] == f"all {len(CATALOG.topics)} topics are as they must be"
    assert run("check").exit_code == 0
    listed = {line["name"]: line for line in json.loads(run("list", "--json").stdout)}
    assert listed["start-sync"]["partitions"] == 2
    assert listed[CHANGELOG]["retention_ms"] is None
    assert "for ever" in run("list").stdout


def test_the_schema_of_a_command_is_printed_without_a_broker() -> None:
    shown = json.loads(CliRunner().invoke(cli.app, ["schema", "start-sync"]).stdout)
    assert shown["StartSync"]["required"] == ["org", "adapter", "type"]
    every = json.loads(CliRunner().invoke(cli.app, ["schema"]).stdout)
    assert every["start-sync"] == shown
    assert set(every) == {name for name, commands in CATALOG.commands.items() if commands}


def test_the_schema_of_a_topic_without_commands_is_rejected() -> None:
    rejected = CliRunner().invoke(cli.app, ["schema", CHANGELOG])
    assert isinstance(rejected.exception, Rejected)
    assert "these do: start-sync, page-done" in str(rejected.exception)
