"""Configuration of the embedded broker: one KRaft node, both broker and controller, on loopback only."""

import json
from pathlib import Path

from topics.errors import Rejected

CONTROLLER_PORT_OFFSET = 1  # the controller listens beside the broker

_TEMPLATE = """\
# Written by sluice at every start of the embedded broker; changes made here are lost.
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{controller_port}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={data}

# Topics are created on purpose only.
auto.create.topics.enable=false

# One node keeps one copy of everything; few partitions of its own topics make its start quick.
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1

# After a kill the controller waits for the broker's old session to end before it takes the new one (default: 9 s).
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500

# A laptop's groups have few members: the first does not wait for others, and an ended one is noticed within a second.
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000

# Compaction in little memory.
log.cleaner.dedupe.buffer.size=2097152
log.cleaner.backoff.ms=500
"""


def server_properties(data: Path, port: int) -> str:
    """The file's text for a broker that listens on `port` and keeps its data in `data`, an absolute path."""
    if "," in str(data):
        raise Rejected(f"the broker cannot keep data in {data}: its path has a comma; set SLUICE_HOME to another one")
    escaped = json.dumps(str(data))[1:-1]  # Java reads the file as Latin-1 and knows these same escapes
    return _TEMPLATE.format(data=escaped, port=port, controller_port=port + CONTROLLER_PORT_OFFSET)
