"""The database's rows are the source's records, in keys, values and hashes."""

from tests.checker.evidence import Evidence
from tests.checker.found import Found


def rows_equal_the_source(evidence: Evidence) -> Found:
    """As many rows as records, with one hash over all of them, and each row agrees with its own raw record."""
    found = Found()
    tables = {(table.org, table.entity): table for table in evidence.tables}
    for (org, entity), expected in evidence.expected.items():
        table = tables.get((org, entity))
        rows = table.rows if table else 0
        found.looked_at += max(rows, expected.rows)
        if rows != expected.rows:
            found.wrong(f"{org} {entity}: {rows} rows, and the source has {expected.rows} records")
        elif table is not None and table.sha256 != expected.sha256:
            found.wrong(
                f"{org} {entity}: {rows} rows as in the source, but with other contents: sha256 {table.sha256[:16]}…, "
                f"and the source's is {expected.sha256[:16]}…"
            )
    for org, entity in sorted(tables.keys() - evidence.expected.keys()):
        found.wrong(f"{org} {entity}: {tables[org, entity].rows} rows, and the source has no such organisation")
    for table in evidence.tables:
        for fault in table.faults:
            found.wrong(fault)
    return found


def rows_have_a_page(evidence: Evidence) -> Found:
    """Each row stands under a run and a page that were committed."""
    found = Found()
    committed = {line.place for line in evidence.audit}
    committed_anywhere = {(run_id, page) for run_id, _, page in committed}
    runs = {run.run_id: run for run in evidence.runs}
    for table in evidence.tables:
        for run_id, parent, page in sorted(table.places, key=str):
            found.looked_at += 1
            name = f"{table.org} {table.entity}: rows of run {run_id}, parent {parent!r}, page {page}"
            run = runs.get(run_id)
            if run is None or (run.org, run.entity) != (table.org, table.entity):
                found.wrong(f"{name}: it is no run of theirs")
            known = (run_id, page) in committed_anywhere if parent is None else (run_id, parent, page) in committed
            if not known:
                found.wrong(f"{name}: that page was never committed")
    return found
