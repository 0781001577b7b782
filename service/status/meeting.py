"""The meeting of a database and a journal: whichever process comes first makes the journal known, and says so."""

import logging

from service.kafka.journal import Journal
from service.status.store import StatusStore

log = logging.getLogger("sluice.journal")

RUNS_NAMED_MAX = 5


async def meet(store: StatusStore, journal: Journal) -> int:
    """The journal's number in this database. Another one than before is said once, with the runs that ended with it."""
    met = await store.meet(journal)
    if met.former is not None:
        failed = [state.run_id for state in met.lost if state.trace == state.run_id]
        log.warning(
            "Kafka has another journal than this database knew: requests and runs begin anew, and runs that had not "
            "ended have failed; start those syncs again",
            extra={
                "sluice.journal": str(journal),
                "sluice.former_journal": str(met.former),
                "sluice.runs": len(failed),
                "sluice.failed": ", ".join(failed[:RUNS_NAMED_MAX]),
            },
        )
    return met.number
