"""What comes in from outside the engine: requests, an operator's commands, messages nobody can read, and echoes."""

from collections.abc import Mapping
from itertools import product

from agents.core.batch import Out
from agents.core.registry import Registry
from manifests.entity import Adapter
from tests.counter.commands import StartCounter
from tests.engine.broker import Broker, LogPartition
from tests.engine.faults import Faults
from topics.catalog import COMMAND_BYTES_MAX, HOUR_MS, MESSAGE_RETENTION_MS
from topics.codec import SCHEMA_HEADER, encode
from topics.command import CancelRun, Command, RetryNow
from topics.kinds import sync
from topics.kinds.sync import StartSync

ORGS = ("acme", "zenith")
COUNTERS = ("beans", "peas")
EVERY_MS = (100, 5_000, 60_000, 600_000)
Origin = tuple[str, int, int]  # topic, partition, offset


class Clients:
    """`poison` says where each message stands that can only become a dead letter."""

    def __init__(self, broker: Broker, registry: Registry, adapters: Mapping[str, Adapter], faults: Faults) -> None:
        self.requests: list[StartSync] = []
        self._requested_at: list[int] = []
        self._echoes: set[Origin] = set()
        self.poison: set[Origin] = set()
        self._broker = broker
        self._topics = (*registry.catalog.control, *registry.catalog.data)
        self._faults = faults
        self._adapters = tuple(adapters)
        self._counters = 0

    @property
    def keys(self) -> list[str]:
        return [sync.KEY.key(org, adapter, "full") for org in ORGS for adapter in self._adapters]

    def request_one(self) -> None:
        """A request: a new one, one that was made before, or one without a name."""
        random = self._faults.random
        recent = [one for one, at in zip(self.requests, self._requested_at, strict=True) if at > self._oldest_ms]
        if recent and random.random() < 0.3:
            request = random.choice(recent)
        else:
            policy = random.choice(("ignore", "queue", "restart", "reject"))
            request = self.request(random.choice(ORGS), random.choice(self._adapters), on_conflict=policy)
            self._remember(request)
        if random.random() < 0.2:
            self._send(request.model_copy(update={"request_id": None}))
        self._send(request)

    def request_counter(self) -> None:
        """Of the kind that only tests have."""
        random, name = self._faults.random, self._faults.random.choice(COUNTERS)
        self._counters += 1
        command = StartCounter(
            org=random.choice(ORGS), name=name, target=random.randint(1, 3), every_ms=random.choice(EVERY_MS),
            child=random.choice((None, f"child-of-{name}")), request_id=f"counter-{self._counters}",
        )  # fmt: skip
        self._send(command)

    def request(self, org: str, adapter: str, **more: str) -> StartSync:
        request_id = f"request-{len(self.requests)}"
        names = {"org": org, "adapter": adapter, "type": "full", "request_id": request_id}
        return StartSync.model_validate({**names, **more})

    def request_all(self) -> None:
        for org, adapter in product(ORGS, self._adapters):
            self._remember(self.request(org, adapter))
            self._send(self.requests[-1])

    def retry(self) -> None:
        random = self._faults.random
        self._send(RetryNow(workflow=random.choice(self.keys), request_id=f"retry-{random.random()}"))

    def cancel(self, runs: Mapping[str, int]) -> None:
        """An operator ends a run that is in progress, by its number."""
        if runs:
            key = self._faults.random.choice(sorted(runs))
            self._send(CancelRun(workflow=key, run=runs[key], reason="an operator said so"))

    def poison_one(self) -> None:
        topic = self._faults.random.choice(self._topics)
        key = self._faults.random.choice((None, b"", b"\xff", self.keys[0].encode()))
        out = self._faults.random.choice(
            (
                Out(key, None),
                Out(key, b""),
                Out(key, b"{not json"),
                Out(key, b'{"kind":"unheard-of","workflow":"x"}'),
                Out(key, b"[" * 2_000),
                Out(key, b'"' + b"x" * COMMAND_BYTES_MAX + b'"'),
                Out(key, encode(self.request("acme", "toy")), ((SCHEMA_HEADER, b"2"),)),
                Out(key, encode(RetryNow(workflow="no-such-kind:a", request_id="n")), ((SCHEMA_HEADER, b""),)),
            )
        )
        tp = LogPartition(topic, self._faults.random.randrange(self._broker.partitions))
        self.poison.add((*tp, self._broker.append(tp, out)))

    def echo(self) -> None:
        """Some message of the past once more, as a producer that tried twice would write it; of a newer program."""
        topic = self._faults.random.choice(self._topics)
        tp = LogPartition(topic, self._faults.random.randrange(self._broker.partitions))
        if log := self._broker.read(tp, self._broker.offset_of(tp, self._oldest_ms)):
            record = self._faults.random.choice(log)
            value = record.value
            if (*tp, record.offset) in self.poison | self._echoes:
                return  # an echo's echo would be older than it looks
            if topic != StartSync.topic and value is not None and self._faults.random.random() < 0.5:
                value = b'{"of_a_newer_version":[1],' + value[1:]
            offset = self._broker.append(tp, Out(record.key, value, record.headers))
            self._echoes.add((*tp, offset))

    def _remember(self, request: StartSync) -> None:
        self.requests.append(request)
        self._requested_at.append(self._broker.clock.now_ms)

    @property
    def _oldest_ms(self) -> int:
        """Requests are remembered, and messages kept, for so long; an hour less, as the broker's clock may be wrong."""
        return self._broker.clock.now_ms - MESSAGE_RETENTION_MS + HOUR_MS

    def _send(self, command: Command) -> None:
        """Any partition will do: a stock client may hash in its own way."""
        partition = self._broker.partition_of(command.key)
        if self._faults.random.random() < 0.2:
            partition = self._faults.random.randrange(self._broker.partitions)
        tp = LogPartition(command.topic, partition)
        offset = self._broker.append(tp, Out(command.key.encode(), encode(command)))
        self._faults.note("a client", f"writes {command.id[:6]} {command.topic}/{partition}@{offset}")
