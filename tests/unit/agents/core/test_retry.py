import pytest

from agents.core.retry import ASKED_SECONDS_MAX, RetryPolicy

POLICY = RetryPolicy(5, 300, 20)


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
        (1, 7_200, 7_200),
        (1, -1, 5),
        (1, float("nan"), 5),
        (1, float("inf"), ASKED_SECONDS_MAX),
    ],
)
def test_waits_double_up_to_the_longest_and_are_not_shorter_than_asked_for(
    attempt: int, asked: float | None, seconds: float
) -> None:
    assert POLICY.wait_seconds(attempt, asked) == seconds


def test_a_policy_is_exhausted_after_its_last_attempt_if_it_has_one() -> None:
    assert [POLICY.is_exhausted(attempt) for attempt in (19, 20, 21)] == [False, True, True]
    assert not RetryPolicy(5, 300).is_exhausted(10_000)
