"""RocksDB holds what the journal says, wherever it claims to be up to date."""

from tests.checker.evidence import Evidence
from tests.checker.found import Found


def stores_equal_the_journal(evidence: Evidence) -> Found:
    found = Found()
    if evidence.stores is None:
        found.skipped = "no directory with stores was given (--tables)"
        return found
    current: set[int] = set()
    for store in evidence.stores:
        if store.position is None or store.position < evidence.position.get(store.partition, -1):
            found.count("stores that are behind the journal")
            continue
        current.add(store.partition)
        says = evidence.folded.get(store.partition, {})
        for key in sorted(says.keys() | store.values.keys()):
            found.looked_at += 1
            if says.get(key) != store.values.get(key):
                found.wrong(
                    f"{store.path}, {key.decode(errors='replace')}: the store has {_shown(store.values.get(key))}, "
                    f"the journal {_shown(says.get(key))}"
                )
    found.count("partitions without an up-to-date store", len(evidence.position.keys() - current))
    return found


def _shown(value: bytes | None) -> str:
    if value is None or len(value) < 16:
        return "nothing"
    return f"epoch {int.from_bytes(value[:8], 'big')}, seq {int.from_bytes(value[8:16], 'big')}"
