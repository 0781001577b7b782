"""Dead letters: one for each message that can never be handled, and none for any other."""

from collections import defaultdict
from collections.abc import Sequence

from tests.checker.evidence import Evidence
from tests.checker.found import Found
from tests.checker.messages import document
from tests.checker.values import Letter, Origin, Poison

REFUSABLE = ("queue", "restart", "reject")  # starts that may be refused while a run is in progress


def poison_is_a_dead_letter_once(evidence: Evidence) -> Found:
    """By where they came from. One that is written again after a crash must be the same letter."""
    found = Found(looked_at=len(evidence.letters))
    letters: defaultdict[Origin, list[Letter]] = defaultdict(list)
    for letter in evidence.letters:
        letters[letter.origin].append(letter)
        if not letter.reason:
            found.wrong(f"dead letter {letter.partition}/{letter.offset} gives no reason")
    for origin, some in letters.items():
        found.count("written again", len(some) - 1)
        if len({(letter.key, letter.value) for letter in some}) > 1:
            found.wrong(f"{_at(origin)}: {len(some)} dead letters, which are not the same")
    if evidence.poison is None:
        found.skipped = "no list of poison was given (--poison)"
    else:
        _judge_poison(evidence.poison, [some[0] for some in letters.values()], found)
    return found


def _judge_poison(sent: Sequence[Poison], letters: Sequence[Letter], found: Found) -> None:
    found_origins = {origin for letter in letters for origin in (letter.origin, letter.forwarded)}
    poisoned = {poison.origin for poison in sent}
    for poison in sent:
        found.looked_at += 1
        if poison.origin not in found_origins:
            found.wrong(f"{_at(poison.origin)} ({poison.what}) has no dead letter")
    for letter in letters:
        if not {letter.origin, letter.forwarded} & poisoned and not _may_be_refused(letter):
            found.wrong(f"{_at(letter.origin)} is a dead letter although nothing was wrong with it: {letter.reason}")


def _may_be_refused(letter: Letter) -> bool:
    return letter.origin[0] == "start-sync" and document(letter.value).get("on_conflict") in REFUSABLE


def _at(origin: Origin) -> str:
    topic, partition, offset = origin
    return f"{topic} {partition}/{offset}"
