import pytest

from topics.catalog import BY_NAME, CHANGELOG, CONTROL_TOPICS, DATA_TOPICS, DEAD_LETTERS, RECORD_BYTES_MAX, TOPICS
from topics.commands import Command, Control

DAY_MS = 86_400_000
KAFKA_RECORD_BYTES_MAX = 1_048_588  # the broker's own default


def concrete(model: type[Command]) -> list[type[Command]]:
    found = [one for below in model.__subclasses__() for one in concrete(below)]
    return found or [model]


def test_every_command_is_in_the_topic_that_it_names_and_in_no_other() -> None:
    carried = [(spec.name, model) for spec in TOPICS for model in spec.commands]
    assert sorted((name, model.__name__) for name, model in carried) == sorted(
        (model.topic, model.__name__) for model in concrete(Command)
    )
    assert Control not in [model for _, model in carried]


def test_no_name_is_used_twice() -> None:
    assert len(BY_NAME) == len(TOPICS)


def test_the_topics_of_the_table_are_keyed_like_it() -> None:
    assert CONTROL_TOPICS == ("start-sync", "control", "page-done", "action-complete")
    assert {BY_NAME[name].keyed_by for name in (*CONTROL_TOPICS, CHANGELOG)} == {"workflow"}


def test_what_shares_a_rate_limit_meets_in_one_partition() -> None:
    assert {BY_NAME[name].keyed_by for name in DATA_TOPICS} == {"connection"}


@pytest.mark.parametrize("spec", TOPICS, ids=lambda spec: spec.name)
def test_the_broker_stamps_every_record_with_its_time(spec: object) -> None:
    assert getattr(spec, "config", {})["message.timestamp.type"] == "LogAppendTime"


def test_only_the_journal_is_compacted_and_never_expires() -> None:
    compacted = [spec.name for spec in TOPICS if spec.config["cleanup.policy"] == "compact"]
    assert compacted == [CHANGELOG]
    assert "retention.ms" not in BY_NAME[CHANGELOG].config


def test_commands_are_kept_for_a_week_and_dead_letters_for_a_month() -> None:
    kept = {spec.name: spec.retention_ms for spec in TOPICS if spec.plane in ("control", "data", "dead")}
    assert kept.pop(DEAD_LETTERS) == 30 * DAY_MS
    assert set(kept.values()) == {7 * DAY_MS}


def test_a_record_of_the_largest_size_is_taken_by_a_broker_with_its_default() -> None:
    assert RECORD_BYTES_MAX < KAFKA_RECORD_BYTES_MAX
