"""Messages that nobody should write: poison, the same ones again, in another order; and messages lost."""

import asyncio
import json
from random import Random

from agents.kinds import SHIPPED
from tests.chaos.faults.fault import Fault
from tests.chaos.load import start_sync
from tests.chaos.records import Sent, newest, write
from tests.chaos.system import PARTITIONS, System
from topics.catalog import COMMAND_BYTES_MAX
from topics.codec import SCHEMA_HEADER

REPEATED_OF = 40  # the newest of each partition are looked at
REPEATED_MAX = 60
HUGE_BYTES = 950_000  # more than a dead letter takes, less than the broker refuses
COMMAND_TOPICS = (*SHIPPED.catalog.control, *SHIPPED.catalog.data)
FUTURE = ((SCHEMA_HEADER, b"9"),)
NOT_A_NUMBER = ((SCHEMA_HEADER, b"new"),)


def _json(**fields: object) -> bytes:
    return json.dumps(fields).encode()


class Poison(Fault):
    """Bad JSON, wrong schema, too long, no key, a future version, a tombstone: each becomes one dead letter."""

    name, touches = "poison messages", frozenset({"messages", "kafka"})
    seconds = (0.0, 1.0)

    async def inject(self, system: System) -> None:
        kinds = self._kinds(system)
        self.random.shuffle(kinds)
        self.what = f"{len(kinds)} of them"
        for what, record in kinds:
            (place,) = await write(system.brokers.bootstrap, [record])
            system.poison.note(record, place, what=what)

    def _kinds(self, system: System) -> list[tuple[str, Sent]]:
        org = self.random.choice(system.orgs)
        main = f"main-sync:{org}:pco:full"
        start = {"org": org, "adapter": "pco", "type": "full"}
        anywhere = COMMAND_TOPICS
        topic = self.random.choice(anywhere)
        return [
            ("bad JSON", Sent(topic, main.encode(), b'{"org": ')),
            ("not UTF-8", Sent(self.random.choice(anywhere), main.encode(), b"\xff\xfe\x00\x80")),
            ("bad JSON, null key", Sent(self.random.choice(anywhere), None, b"hello")),
            ("unknown field", Sent("start-sync", main.encode(), _json(**start, colour="red"))),
            ("unknown kind", Sent("control", main.encode(), _json(kind="explode", workflow=main))),
            ("wrong type", Sent("page-done", main.encode(), _json(workflow=main, run="one", lease=1, units=0))),
            ("lacks fields", Sent("fetch-page", f"{org}/pco".encode(), _json(workflow=main))),
            ("no such workflow key", Sent("control", b"x", _json(kind="nudge", workflow="x", request_id="p"))),
            (
                "no such adapter",
                Sent("start-sync", f"main-sync:{org}:no:full".encode(), _json(**{**start, "adapter": "no"})),
            ),
            ("too long", Sent("start-sync", main.encode(), _json(**start, request_id="x" * COMMAND_BYTES_MAX))),
            ("far too long", Sent("control", main.encode(), b" " * HUGE_BYTES)),
            ("future version", Sent("start-sync", main.encode(), _json(**start, request_id="f"), FUTURE)),
            ("no version", Sent("start-sync", main.encode(), _json(**start, request_id="n"), NOT_A_NUMBER)),
            ("tombstone", Sent(self.random.choice(anywhere), main.encode(), None)),
            ("empty", Sent(self.random.choice(anywhere), main.encode(), b"")),
        ]


class Repeat(Fault):
    """Messages are written again, in another order: by a program that was restored from a backup, or by a mirror."""

    name, touches = "repeated and reordered messages", frozenset({"messages", "kafka"})
    seconds = (0.0, 1.0)

    def __init__(self, random: Random) -> None:
        super().__init__(random)
        self.topics = random.sample(COMMAND_TOPICS, 3)

    async def inject(self, system: System) -> None:
        written = [
            record
            for topic in self.topics
            for record in await newest(system.brokers.bootstrap, topic, PARTITIONS, REPEATED_OF)
            if (record.topic, record.partition, record.offset) not in system.poison.places
        ]
        again = self.random.sample(written, min(len(written), REPEATED_MAX))
        self.what = f"{len(again)} from {', '.join(self.topics)}"
        await write(
            system.brokers.bootstrap,
            [Sent(one.topic, one.key, one.value, one.headers, one.partition) for one in again],
        )


class RestartRuns(Fault):
    """Impatient people restart every sync while it runs, again and again: most of its pages are under way."""

    name, touches = "runs restarted", frozenset({"messages", "kafka"})
    seconds = (0.0, 1.0)

    async def inject(self, system: System) -> None:
        rounds = self.random.randint(2, 4)
        self.what = f"{rounds} times"
        for number in range(rounds):
            marks = [f"restart-{number}-{self.random.random()}" for _ in system.orgs]
            records = [start_sync(org, mark, "restart") for org, mark in zip(system.orgs, marks, strict=True)]
            for record, place in zip(records, await write(system.brokers.bootstrap, records), strict=True):
                system.produced.note(record, place)
            await asyncio.sleep(self.random.uniform(0.5, 2.5))
