"""What comes in from outside the engine: requests, orders of an operator, messages that nobody can read, and echoes."""

from collections.abc import Mapping

from agents.core.batch import Out
from manifests.entity import Adapter
from tests.engine.local import LocalTP
from tests.simulation.broker import Broker
from tests.simulation.fate import Fate
from topics.catalog import COMMAND_BYTES_MAX, CONTROL_TOPICS, DATA_TOPICS
from topics.codec import SCHEMA_HEADER, encode
from topics.commands import CancelRun, Command, RetryNow, StartSync
from topics.ids import sync_key

ORGS = ("acme", "zenith")
Origin = tuple[str, int, int]  # topic, partition, offset


class Clients:
    """`poison` says where each message stands that can only be buried, `cancelled` whose runs an operator ended."""

    def __init__(self, broker: Broker, adapters: Mapping[str, Adapter], fate: Fate) -> None:
        self.requests: list[StartSync] = []
        self.poison: set[Origin] = set()
        self._broker = broker
        self._fate = fate
        self._adapters = tuple(adapters)

    @property
    def keys(self) -> list[str]:
        return [sync_key(org, adapter, "full") for org in ORGS for adapter in self._adapters]

    def ask(self) -> None:
        """A request: a new one, one that was made before, or one without a name."""
        random = self._fate.random
        if self.requests and random.random() < 0.3:
            request = random.choice(self.requests)
        else:
            policy = random.choice(("ignore", "queue", "restart", "reject"))
            request = self.request(random.choice(ORGS), random.choice(self._adapters), on_conflict=policy)
            self.requests.append(request)
        if random.random() < 0.2:
            self._tell(request.model_copy(update={"request_id": None}))
        self._tell(request)

    def request(self, org: str, adapter: str, **more: str) -> StartSync:
        request_id = f"request-{len(self.requests)}"
        return StartSync.model_validate(
            {"org": org, "adapter": adapter, "type": "full", "request_id": request_id, **more}
        )

    def ask_for_all(self) -> None:
        for org in ORGS:
            for adapter in self._adapters:
                self.requests.append(self.request(org, adapter))
                self._tell(self.requests[-1])

    def nudge(self) -> None:
        self._tell(RetryNow(workflow=self._fate.random.choice(self.keys), request_id=f"n{self._fate.random.random()}"))

    def cancel(self, runs: Mapping[str, int]) -> None:
        """An operator ends a run that is in progress, by its number."""
        if runs:
            key = self._fate.random.choice(sorted(runs))
            self._tell(CancelRun(workflow=key, run=runs[key], reason="an operator said so"))

    def poison_one(self) -> None:
        topic = self._fate.random.choice((*CONTROL_TOPICS, *DATA_TOPICS))
        key = self._fate.random.choice((None, b"", b"\xff", self.keys[0].encode()))
        out = self._fate.random.choice(
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
        tp = LocalTP(topic, self._fate.random.randrange(self._broker.partitions))
        self.poison.add((*tp, self._broker.append(tp, out)))

    def echo(self) -> None:
        """Some message of the past once more, as a producer that tried twice would write it; of a newer program."""
        topic = self._fate.random.choice((*CONTROL_TOPICS, *DATA_TOPICS))
        tp = LocalTP(topic, self._fate.random.randrange(self._broker.partitions))
        if log := self._broker.logs[tp]:
            record = self._fate.random.choice(log)
            value = record.value
            if (*tp, record.offset) in self.poison:
                return
            if topic != StartSync.topic and value is not None and self._fate.random.random() < 0.5:
                value = b'{"of_a_newer_version":[1],' + value[1:]
            self._broker.append(tp, Out(record.key, value, record.headers))

    def _tell(self, command: Command) -> None:
        """Any partition will do: a stock client may hash in its own way."""
        partition = self._broker.partition_of(command.key)
        if self._fate.random.random() < 0.2:
            partition = self._fate.random.randrange(self._broker.partitions)
        tp = LocalTP(command.topic, partition)
        offset = self._broker.append(tp, Out(command.key.encode(), encode(command)))
        self._fate.note("a client", f"writes {command.id[:6]} {command.topic}/{partition}@{offset}")
