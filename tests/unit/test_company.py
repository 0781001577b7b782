from agents.activities.company import FEW, LATELY_SECONDS, Company


class Watch:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def called(company: Company, runs: int) -> None:
    for number in range(runs):
        company.called(f"run-{number}")


def test_a_few_are_no_company() -> None:
    company = Company(Watch())
    called(company, FEW - 1)
    assert company.count() == 1


def test_each_run_that_called_lately_counts_once() -> None:
    company = Company(Watch())
    called(company, FEW)
    called(company, FEW)
    assert company.count() == FEW


def test_a_run_that_has_been_silent_for_a_while_counts_no_more() -> None:
    watch = Watch()
    company = Company(watch)
    called(company, 2 * FEW)
    watch.now += LATELY_SECONDS * 0.6
    called(company, FEW)
    watch.now += LATELY_SECONDS * 0.6
    assert company.count() == FEW
