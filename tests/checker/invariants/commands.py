"""Commands: none that the broker has taken is lost, and one that is said twice has one id."""

from collections import defaultdict

from tests.checker.entries import Entry
from tests.checker.evidence import Evidence, Letter, Message, Origin
from tests.checker.formats import derived_id, document, start_id, workflow_of
from tests.checker.found import Found
from tests.checker.lines import ENDED


def no_command_is_lost(evidence: Evidence) -> Found:
    """Each start-sync is remembered by a record of the journal or buried; what the broker took is in its topic."""
    found = Found(looked_at=len(evidence.starts))
    origins = {letter.origin for letter in evidence.letters}
    poison = {poison.origin for poison in evidence.poison or ()}
    ids = evidence.seen | {start_id(letter.origin, letter.value) for letter in evidence.letters if _is_start(letter)}
    known = origins | poison
    standing = {_origin(message): message for message in evidence.starts}
    for origin, message in standing.items():
        if origin not in known and start_id(origin, message.value) not in ids:
            found.wrong(f"{_shown(message)} left no trace: neither a record of the journal nor a dead letter has it")
    for message in evidence.produced or ():
        found.looked_at += 1
        if message.topic == "start-sync":
            _judge_produced(message, standing.get(_origin(message)), found)
        elif _origin(message) not in origins and not _was_met(message, evidence):
            found.wrong(f"{_shown(message)} left no trace: its workflow neither noted it nor has gone beyond it")
    return found


def _is_start(letter: Letter) -> bool:
    """One that was sent on to its workflow's partition is buried there, with its id."""
    return letter.origin[0] == "start-sync"


def _origin(message: Message) -> Origin:
    return message.topic, message.partition, message.offset


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
    if _nudge_id(message) in evidence.causes:
        return True
    now = evidence.now.get(workflow_of(message.topic, message.value))
    if now is None or now.status in ENDED:
        return True
    return now.partition == message.partition and dict(now.last_offset).get(message.topic, -1) >= message.offset


def _nudge_id(message: Message) -> str:
    said = document(message.value)
    return derived_id(message.topic, "nudge", str(said.get("workflow")), str(said.get("request_id")))


def _shown(message: Message) -> str:
    return f"{message.topic} {message.partition}/{message.offset} ({(message.value or b'')[:120]!r})"


def requests_run_once(evidence: Evidence) -> Found:
    """No request has two runs, unless the first one's record was lost and a newer number took its place."""
    found = Found()
    runs: defaultdict[tuple[str, str], dict[int, Entry]] = defaultdict(dict)
    for line in evidence.lines:
        for entry in line.wins:
            if entry.kind == "sync" and (entry.key, entry.run) not in evidence.given_up:
                runs[entry.key, entry.request].setdefault(entry.run, entry)
    for (_, request), some in runs.items():
        found.looked_at += 1
        if len(some) > 1:
            _, second, *_ = some.values()
            found.wrong(f"{second.where}: request {request} runs again, it has the runs {sorted(some)}")
    return found


def ids_are_derived(evidence: Evidence) -> Found:
    """The same command, however often it is sent, has the same id."""
    found = Found(looked_at=len(evidence.said))
    known: dict[bytes, tuple[str, Origin]] = {}
    for said in evidence.said:
        id_, first = known.setdefault(said.digest, (said.id, said.origin))
        if id_ != said.id:
            found.wrong(f"{_at(said.origin)} says what {_at(first)} says, under another id ({said.id}, {id_})")
    return found


def _at(origin: Origin) -> str:
    topic, partition, offset = origin
    return f"{topic} {partition}/{offset}"
