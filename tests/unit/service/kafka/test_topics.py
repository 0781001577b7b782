from dataclasses import replace

import pytest

from agents.kinds import SHIPPED
from service.kafka.cluster import FoundTopic
from service.kafka.topics import TopicState, problems, wanted_topics
from service.settings import Settings
from topics.catalog import CHANGELOG, DAY_MS, DEAD_LETTERS, MESSAGE_RETENTION_MS

GOOD = {spec.name: TopicState(spec, FoundTopic(8, True), spec.config) for spec in SHIPPED.catalog.topics}


def changed(name: str, **config: str) -> list[str]:
    return problems(replace(GOOD[name], config={**GOOD[name].config, **config}), 8)


@pytest.mark.parametrize("state", GOOD.values(), ids=GOOD)
def test_a_topic_as_created_has_no_problems(state: TopicState) -> None:
    assert problems(state, 8) == []


def test_a_missing_topic_says_how_to_create_it() -> None:
    missing = replace(GOOD["page-done"], found=None, config={})
    assert problems(missing, 8) == ["page-done is missing: run `sluice topics create`"]


def test_a_wrong_partition_count_says_which_setting_fits() -> None:
    [line] = problems(replace(GOOD["fetch-page"], found=FoundTopic(4, True)), 8)
    assert line.startswith("fetch-page has 4 partitions, SLUICE_PARTITIONS is 8: it must never change")
    assert "Set SLUICE_PARTITIONS=4 for every process" in line


@pytest.mark.parametrize(
    ("name", "timestamps", "problem"),
    [
        (CHANGELOG, "LogAppendTime", "cleanup.policy=delete, it must be compact"),
        ("control", "CreateTime", "message.timestamp.type=CreateTime, it must be LogAppendTime"),
    ],
    ids=["a_journal_that_forgets", "the_clocks_of_the_senders"],
)
def test_a_topic_is_rejected_with(name: str, timestamps: str, problem: str) -> None:
    [line] = changed(name, **{"cleanup.policy": "delete", "message.timestamp.type": timestamps})
    assert line.startswith(f"{name} has {problem}")


def test_what_an_operator_chooses_is_no_problem() -> None:
    chosen = {"retention.ms": "1", "segment.bytes": "1048576", "min.insync.replicas": "1"}
    assert changed("start-sync", **chosen) == []


@pytest.mark.parametrize(("replication", "in_sync"), [(1, "1"), (2, "1"), (3, "2")])
def test_one_replica_may_be_away(replication: int, in_sync: str) -> None:
    wanted = wanted_topics(Settings(replication=replication, partitions=4), SHIPPED.catalog)
    assert {
        (spec.replication_factor, spec.num_partitions, spec.topic_configs["min.insync.replicas"]) for spec in wanted
    } == {(replication, 4, in_sync)}


def test_the_journal_is_not_compacted_before_a_frozen_process_has_ended() -> None:
    [journal] = [spec for spec in wanted_topics(Settings(), SHIPPED.catalog) if spec.name == CHANGELOG]
    assert int(journal.topic_configs["min.compaction.lag.ms"]) >= 5 * 60_000
    assert "retention.ms" not in journal.topic_configs


@pytest.mark.parametrize(("settings", "days"), [(Settings(), 30), (Settings(dead_letters_days=400), 400)])
def test_dead_letters_are_kept_as_long_as_the_settings_say(settings: Settings, days: int) -> None:
    kept = {spec.name: spec.topic_configs.get("retention.ms") for spec in wanted_topics(settings, SHIPPED.catalog)}
    assert kept.pop(DEAD_LETTERS) == str(days * DAY_MS)
    assert set(kept.values()) == {str(MESSAGE_RETENTION_MS), None}
