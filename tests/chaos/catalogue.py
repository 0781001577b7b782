"""Every fault that there is, and which of them a run draws, in which order."""

from collections.abc import Iterator, Sequence
from random import Random

from tests.chaos.faults import api, clock, kafka, killing, messages, postgres, storage
from tests.chaos.faults.fault import Fault
from tests.chaos.faults.instants import INSTANTS
from tests.chaos.faults.network import NETWORK
from tests.chaos.system import System

FAULTS: tuple[type[Fault], ...] = (
    *killing.KILLS,
    *killing.FREEZES,
    killing.KillEverything,
    killing.RollingRestart,
    killing.Scale,
    kafka.KillBroker,
    kafka.KillTwoBrokers,
    kafka.FreezeBroker,
    kafka.KafkaDiskFull,
    postgres.KillPostgres,
    postgres.FreezePostgres,
    postgres.FreezePostgresLong,
    postgres.EndSessions,
    postgres.LoseCommitAnswers,
    *NETWORK,
    storage.DeleteStore,
    storage.CorruptStore,
    storage.RollBackStore,
    storage.TablesDiskFull,
    clock.ClocksOfProcesses,
    clock.ClockOfBroker,
    clock.ClockOfBrokerOn,
    messages.Poison,
    messages.Repeat,
    messages.RestartRuns,
    *api.API,
    api.MovingPages,
    api.MovingCollections,
    *INSTANTS,
)
BY_NAME = {fault.name: fault for fault in FAULTS}
FIRST_FAULTS = 8  # about what two minutes have time for; seeds one after the other begin with different ones
TWO_AT_A_TIME_SHARE = 0.3
LONG_SECONDS = 20.0  # a fault that lasts longer must not fill more than this share of a run
LONG_SHARE = 0.25
LOOKED_AT_MAX = 10  # faults that are looked at for a second one that does not touch the same parts


def available(system: System, names: Sequence[str], minutes: float) -> tuple[list[type[Fault]], dict[str, str]]:
    """The faults that can be had here, of the wanted ones (all, if none is named); and why the others cannot."""
    wanted = [BY_NAME[name] for name in names] if names else list(FAULTS)
    why_not = {fault.name: fault.why_not(system) or _too_long(fault, minutes) for fault in wanted}
    return [fault for fault in wanted if not why_not[fault.name]], {name: why for name, why in why_not.items() if why}


def drawn(faults: Sequence[type[Fault]], seed: int) -> Iterator[list[Fault]]:
    """One fault or two, for ever; every fault comes before one comes again."""
    random = Random(f"{seed}/faults")
    order = _rotated(faults, seed)
    first, rest = order[:FIRST_FAULTS], order[FIRST_FAULTS:]
    number = 0
    while True:
        random.shuffle(first)
        random.shuffle(rest)
        waiting = [*first, *rest]
        while waiting:
            chosen = [waiting.pop(0)]
            if random.random() < TWO_AT_A_TIME_SHARE:
                chosen += _beside(chosen[0], waiting)
            number += 1
            yield [kind(Random(f"{seed}/{number}/{kind.name}")) for kind in chosen]


def _rotated(faults: Sequence[type[Fault]], seed: int) -> list[type[Fault]]:
    """One order for all seeds, begun elsewhere by each."""
    order = list(faults)
    Random("order").shuffle(order)
    begin = seed * FIRST_FAULTS % len(order)
    return [*order[begin:], *order[:begin]]


def _beside(fault: type[Fault], waiting: list[type[Fault]]) -> list[type[Fault]]:
    for other in waiting[:LOOKED_AT_MAX]:
        if not other.touches & fault.touches:
            waiting.remove(other)
            return [other]
    return []


def _too_long(fault: type[Fault], minutes: float) -> str:
    longest = fault.seconds[1]
    is_too_long = longest > LONG_SECONDS and longest > LONG_SHARE * minutes * 60
    return f"it lasts {longest:.0f} s, too long for a run of {minutes:g} min" if is_too_long else ""
