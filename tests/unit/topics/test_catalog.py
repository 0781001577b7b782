from agents.kinds import SHIPPED
from topics.catalog import CHANGELOG, DEAD_LETTERS, RECORD_BYTES_MAX
from topics.command import Command, Control

CATALOG = SHIPPED.catalog
DAY_MS = 86_400_000
KAFKA_RECORD_BYTES_MAX = 1_048_588  # the broker's own default


def concrete(model: type[Command]) -> list[type[Command]]:
    """The product's own; tests have commands, too."""
    found = [one for below in model.__subclasses__() for one in concrete(below)]
    return found or [model] * model.__module__.startswith("topics.")


def test_every_command_is_in_the_topic_that_it_names_and_in_no_other() -> None:
    carried = [(name, model) for name, models in CATALOG.commands.items() for model in models]
    assert sorted((name, model.__name__) for name, model in carried) == sorted(
        (model.topic, model.__name__) for model in concrete(Command)
    )
    assert Control not in [model for _, model in carried]


def test_no_name_is_used_twice() -> None:
    assert len(CATALOG.by_name) == len(CATALOG.topics)


def test_the_topics_of_the_table_are_keyed_like_it() -> None:
    assert CATALOG.control == ("start-sync", "page-done", "control", "action-complete")
    assert {CATALOG.by_name[name].keyed_by for name in (*CATALOG.control, CHANGELOG)} == {"workflow"}


def test_what_shares_a_rate_limit_meets_in_one_partition() -> None:
    assert CATALOG.data == ("fetch-page", "run-action")
    assert {CATALOG.by_name[name].keyed_by for name in CATALOG.data} == {"connection"}


def test_the_broker_stamps_every_record_keeps_commands_for_a_week_dead_letters_for_a_month_and_the_journal() -> None:
    kept = {CHANGELOG: ("compact", None), DEAD_LETTERS: ("delete", str(30 * DAY_MS))}
    for name, spec in CATALOG.by_name.items():
        cleanup, retention = kept.get(name, ("delete", str(7 * DAY_MS)))
        assert (spec.config["cleanup.policy"], spec.config.get("retention.ms")) == (cleanup, retention)
        assert spec.config["message.timestamp.type"] == "LogAppendTime"


def test_a_record_of_the_largest_size_is_taken_by_a_broker_with_its_default() -> None:
    assert RECORD_BYTES_MAX < KAFKA_RECORD_BYTES_MAX
