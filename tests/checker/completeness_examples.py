"""Sources that moved while they were read, with copies that are complete or not, by invariant."""

from msgspec.structs import replace

from tests.checker.builders import RUN_ID, T0, line, run, whole_run
from tests.checker.evidence import Evidence
from tests.checker.values import Life, Proof, RunChange, Table

PLACE = ("acme", "people.person")
OPENED, ENDED = T0, T0 + 4  # the run of the examples
ALWAYS: Life = (None, None)
UNPROVEN = replace(run(), proof=Proof(complete=False, reason="the source moves too fast", pages=2))
REPAIRED = [*whole_run().audit, line(5, -1, 0)]


def moved(record: Life, *rows: str, **more: object) -> Evidence:
    """A record of this life, `a`, beside one that was always there, `b`; these rows."""
    tables = [Table(*PLACE, len(rows), "aa", keys=frozenset(rows))]
    return whole_run(**{"lives": {PLACE: {"a": record, "b": ALWAYS}}, "tables": tables, **more})


def proven(pages: int, repairs: int, **more: object) -> Evidence:
    proof = Proof(complete=True, reason="all boundaries between pages meet", pages=pages, repairs=repairs)
    return whole_run(**{"runs": [run(proof=proof)], **more})


RIGHT: dict[str, list[Evidence]] = {
    "runs-miss-no-record": [
        moved(ALWAYS, "a", "b"),
        moved((OPENED - 1, ENDED + 1), "a", "b"),
        moved((OPENED - 1, ENDED - 1), "b"),  # it need not be a row if it died,
        moved((OPENED + 1, None), "b"),  # or came, while the run was open,
        moved((OPENED - 0.01, None), "b"),  # or as good as then
        moved((None, ENDED + 0.01), "b"),
        moved(ALWAYS, "b", runs=[run(state="cancelled")]),
        moved(ALWAYS, "b", runs=[UNPROVEN]),
        moved(ALWAYS, "b", audit=[line(2, 1, 7, parent="p"), line(3, 2, 5, parent="p")]),
        moved(ALWAYS, "b", changes=[RunChange(1, "else", "open", 1, T0)]),
    ],
    "proofs-count-their-pages": [
        proven(3, 1, audit=REPAIRED),
        whole_run(runs=[run(state="failed", proof=None)]),
        whole_run(runs=[UNPROVEN]),
    ],
}
WRONG: dict[str, list[tuple[Evidence, str]]] = {
    "runs-miss-no-record": [
        (moved(ALWAYS, "b"), f"{RUN_ID}: 1 of 2 records that existed throughout are no rows: a"),
        (moved((OPENED - 1, None), "b"), "no rows: a"),
        (moved((None, ENDED + 1), "b"), "no rows: a"),
        (moved(ALWAYS), "2 of 2 records"),
        (moved(ALWAYS, tables=[]), "2 of 2 records"),
    ],
    "proofs-count-their-pages": [
        (whole_run(runs=[run(proof=None)]), "it is done, and has no proof"),
        (proven(3, 0), "its proof is of pages, repairs (3, 0), and (2, 0) were committed"),
        (proven(3, 0, audit=REPAIRED), "its proof is of pages, repairs (3, 0), and (3, 1) were committed"),
    ],
}
