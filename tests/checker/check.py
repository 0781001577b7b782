"""All invariants by name, and the verdict on a piece of evidence. Pure."""

from collections.abc import Callable, Mapping

from tests.checker.evidence import Evidence
from tests.checker.found import Found, Violation
from tests.checker.invariants import (
    commands,
    counts,
    dead_letters,
    families,
    journal,
    pages,
    published,
    rows,
    runs,
    stores,
)

Invariant = Callable[[Evidence], Found]

INVARIANTS: Mapping[str, Invariant] = {
    function.__name__.replace("_", "-"): function
    for function in (
        rows.rows_equal_the_source,
        rows.rows_have_a_page,
        pages.pages_are_committed_once,
        pages.runs_write_while_open,
        pages.committed_pages_are_not_requested_again,
        commands.no_command_is_lost,
        commands.requests_run_once,
        commands.ids_are_derived,
        commands.results_answer_an_action,
        journal.journal_is_whole,
        journal.journal_is_gapless,
        journal.journal_is_legal,
        counts.state_is_the_fold,
        counts.main_syncs_add_up_their_entities,
        families.main_syncs_and_entities_agree,
        runs.runs_end_or_wait,
        dead_letters.poison_is_a_dead_letter_once,
        stores.stores_equal_the_journal,
        published.published_is_the_journal,
        published.timeline_is_the_journal,
    )
}


def examine(evidence: Evidence) -> dict[str, Found]:
    """What each invariant found, by its name."""
    return {name: invariant(evidence) for name, invariant in INVARIANTS.items()}


def violations(examined: Mapping[str, Found]) -> list[Violation]:
    return [Violation(name, sentence) for name, found in examined.items() for sentence in found.violations]


def check(evidence: Evidence) -> list[Violation]:
    """Each promise that the evidence shows to be broken, and where."""
    return violations(examine(evidence))
