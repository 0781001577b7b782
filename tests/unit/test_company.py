from agents.activities.company import LATELY_SECONDS, Company


class Watch:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_nobody_is_no_company() -> None:
    assert Company(Watch()).count() == 0


def test_each_run_that_called_lately_counts_once() -> None:
    company = Company(Watch())
    for run in ("a", "b", "a"):
        company.called(run)
    assert company.count() == 2


def test_a_run_that_has_been_silent_for_a_while_counts_no_more() -> None:
    watch = Watch()
    company = Company(watch)
    company.called("a")
    company.called("b")
    watch.now += LATELY_SECONDS * 0.6
    company.called("a")
    watch.now += LATELY_SECONDS * 0.6
    assert company.count() == 1
