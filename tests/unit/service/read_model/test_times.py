"""Times and spans as text for people."""

from datetime import UTC

import pytest

from service.read_model.times import age, moment, short_time, span

NOW = 1_700_000_000_000  # 2023-11-14 22:13:20 UTC


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-1, "0 s"), (0, "0 s"), (0.44, "0.4 s"), (3, "3 s"), (42.9, "42 s"), (60, "1 min"), (200, "3 min 20 s"),
     (3_600, "1 h"), (7_500, "2 h 5 min"), (273_600, "3 d 4 h")],
)  # fmt: skip
def test_a_span_has_at_most_two_units(seconds: float, words: str) -> None:
    assert span(seconds) == words


def test_an_age_is_past_or_future() -> None:
    assert (age(NOW - 12_400, NOW), age(NOW + 12_400, NOW)) == ("12 s ago", "in 12 s")


def test_a_time_of_another_day_has_its_date() -> None:
    assert moment(NOW - 12_000, NOW, UTC) == "22:13:08, 12 s ago"
    assert moment(NOW - 86_400_000, NOW, UTC) == "2023-11-13 22:13:20, 1 d ago"
    assert (short_time(NOW, NOW, UTC), short_time(NOW - 86_400_000, NOW, UTC)) == ("22:13:20", "Nov 13 22:13")
