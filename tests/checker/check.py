"""All invariants by name, and what each finds in a piece of evidence. Pure."""

from collections.abc import Callable, Mapping

from tests.checker.evidence import Evidence
from tests.checker.found import Found
from tests.checker.invariants import commands, completeness, copies, counts, journal, pages, runs

Invariant = Callable[[Evidence], Found]

INVARIANTS: Mapping[str, Invariant] = {
    function.__name__.replace("_", "-"): function
    for function in (
        pages.rows_equal_the_source,
        pages.rows_have_a_page,
        pages.pages_are_committed_once,
        pages.runs_write_while_open,
        pages.committed_pages_are_not_requested_again,
        completeness.runs_miss_no_record,
        completeness.proofs_count_their_pages,
        commands.no_command_is_lost,
        commands.requests_run_once,
        commands.ids_are_derived,
        commands.results_answer_an_action,
        journal.journal_is_whole,
        journal.journal_is_gapless,
        journal.journal_is_legal,
        counts.state_is_the_fold,
        counts.main_syncs_add_up_their_entities,
        runs.main_syncs_and_entities_agree,
        runs.runs_end_or_wait,
        commands.poison_is_a_dead_letter_once,
        copies.stores_equal_the_journal,
        copies.compaction_keeps_what_counts,
        copies.published_is_the_journal,
        copies.timeline_is_the_journal,
    )
}


def examine(evidence: Evidence) -> dict[str, Found]:
    """What each invariant found, by its name."""
    return {name: invariant(evidence) for name, invariant in INVARIANTS.items()}
