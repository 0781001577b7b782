"""Commands: none that the broker has taken is lost, one that is said twice has one id; their dead letters."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from tests.checker.entries import Entry
from tests.checker.evidence import Evidence
from tests.checker.found import Found
from tests.checker.lines import ENDED
from tests.checker.messages import document, retry_id, start_id, workflow_of
from tests.checker.values import Letter, Message, Origin, at

REFUSABLE = ("queue", "restart", "reject")  # starts that may be refused while a run is in progress


def no_command_is_lost(evidence: Evidence) -> Found:
    """Each start-sync led to something in a history or is a dead letter; what the broker took is in its topic."""
    found = Found(looked_at=len(evidence.starts))
    origins = {letter.origin for letter in evidence.letters}
    # One that was sent on to its workflow's partition is a dead letter there, with its id.
    starts = (letter for letter in evidence.letters if letter.origin[0] == "start-sync")
    ids = evidence.causes | {start_id(letter.origin, letter.value) for letter in starts}
    known = origins.union(evidence.poison or ())
    standing = {message.origin: message for message in evidence.starts}
    for origin, message in standing.items():
        id_ = start_id(origin, message.value, message.stored_at)
        if origin in known or id_ in ids:
            continue
        if id_ is not None and _may_be_forgotten(id_, workflow_of("start-sync", message.value), evidence):
            found.count("accepted, and forgotten by a history")
        else:
            found.wrong(f"{_shown(message)} left no trace: it is in no history and no dead letter")
    for message in evidence.produced or ():
        found.looked_at += 1
        if message.topic == "start-sync":
            _judge_produced(message, standing.get(message.origin), found)
        elif message.origin not in origins and not _was_met(message, evidence):
            found.wrong(f"{_shown(message)} left no trace: its workflow neither noted it nor has gone beyond it")
    return found


def _may_be_forgotten(id_: str, workflow: str, evidence: Evidence) -> bool:
    """Of steps that only a store kept, a history names the last ones; the request log has every request."""
    is_accepted = id_[:16] in evidence.request_ids.get(workflow, frozenset())
    return is_accepted and any(line.has_forgotten for line in evidence.lines if line.key == workflow)


def _judge_produced(message: Message, stands: Message | None, found: Found) -> None:
    if stands is None:
        found.wrong(f"{_shown(message)} was acknowledged, and is not in its topic")
    elif _text(stands) != _text(message):
        found.wrong(f"{_shown(message)} was acknowledged, and another message stands in its place")


def _text(message: Message) -> str | None:
    """As far as the harness can write it down."""
    return None if message.value is None else message.value.decode(errors="replace")


def _was_met(message: Message, evidence: Evidence) -> bool:
    """Noted, or met too late: by a workflow that is not there, has ended, or has gone beyond it."""
    said = document(message.value)
    if retry_id(str(said.get("workflow")), str(said.get("request_id"))) in evidence.causes:
        return True
    now = evidence.now.get(workflow_of(message.topic, message.value))
    if now is None or now.status in ENDED:
        return True
    return now.partition == message.partition and now.position(message.topic) >= message.offset


def _shown(message: Message) -> str:
    return f"{message.topic} {message.partition}/{message.offset} ({(message.value or b'')[:120]!r})"


def requests_run_once(evidence: Evidence) -> Found:
    """No request has two runs, started or attached to, unless the first one's record was lost."""
    found = Found()
    runs: defaultdict[tuple[str, str], dict[int, Entry]] = defaultdict(dict)
    for line in evidence.lines:
        for entry in line.wins:
            for request, run in ((entry.request, entry.run), *((event.request, event.run) for event in entry.history)):
                if request and run and (entry.key, run) not in evidence.given_up:
                    runs[entry.key, request].setdefault(run, entry)
    for (_, request), some in runs.items():
        found.looked_at += 1
        if len(some) > 1:
            _, second, *_ = some.values()
            found.wrong(f"{second.where}: request {request} runs again, it has the runs {sorted(some)}")
    return found


def ids_are_derived(evidence: Evidence) -> Found:
    """The same command, however often it is sent, has the same id: the one that follows from what it says."""
    found = Found(looked_at=len(evidence.sent))
    known: dict[bytes, tuple[str, Origin]] = {}
    for sent in evidence.sent:
        id_, first = known.setdefault(sent.digest, (sent.id, sent.origin))
        if id_ != sent.id:
            found.wrong(f"{at(sent.origin)} says what {at(first)} says, under another id ({sent.id}, {id_})")
        elif sent.derived and sent.id != sent.derived:
            found.wrong(f"{at(sent.origin)} has the id {sent.id}, and what it says makes it {sent.derived}")
    return found


def results_answer_an_action(evidence: Evidence) -> Found:
    """An action-complete is about an attempt at a step for which a run-action was sent."""
    found = Found(looked_at=len(evidence.action_results))
    for (partition, offset), result in evidence.action_results.items():
        if result.about not in evidence.actions:
            found.wrong(f"action-complete {partition}/{offset} is about {result.about}, which no run-action asked for")
    return found


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
            found.wrong(f"{at(origin)}: {len(some)} dead letters, which are not the same")
    if evidence.poison is None:
        found.skipped = "no list of poison was given (--poison)"
    else:
        _judge_poison(evidence.poison, [some[0] for some in letters.values()], found)
    return found


def _judge_poison(poison: Mapping[Origin, str], letters: Sequence[Letter], found: Found) -> None:
    found.looked_at += len(poison)
    origins = {origin for letter in letters for origin in (letter.origin, letter.forwarded)}
    for origin in poison.keys() - origins:
        found.wrong(f"{at(origin)} ({poison[origin]}) has no dead letter")
    for letter in letters:
        if not {letter.origin, letter.forwarded} & poison.keys() and not _may_be_refused(letter):
            found.wrong(f"{at(letter.origin)} is a dead letter although nothing was wrong with it: {letter.reason}")


def _may_be_refused(letter: Letter) -> bool:
    return letter.origin[0] == "start-sync" and document(letter.value).get("on_conflict") in REFUSABLE
