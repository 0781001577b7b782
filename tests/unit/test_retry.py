import pytest

from agents.core.retry import backoff_seconds


@pytest.mark.parametrize(
    ("attempt", "asked", "seconds"),
    [
        (1, None, 5),
        (2, None, 10),
        (6, None, 160),
        (7, None, 300),
        (10_000, None, 300),
        (1, 42.5, 42.5),
        (3, 1, 20),
        (1, 86_400, 300),
        (1, -1, 5),
        (1, float("nan"), 5),
        (1, float("inf"), 300),
    ],
)
def test_waits_double_up_to_the_longest_and_are_never_shorter_than_asked(
    attempt: int, asked: float | None, seconds: float
) -> None:
    assert backoff_seconds(attempt, 5, 300, asked) == seconds
