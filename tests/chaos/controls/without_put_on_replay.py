"""A worker that sends what a replayed record owes, but does not put the record again.

Nor does it when it meets a record for the first time under a generation, which is the second chance.
"""

from typing import Any
from unittest.mock import patch

from agents.core import processor as shell
from service.cli import main


def _only_owed(row: Any, key: str, decider: Any, room: Any) -> shell.Outcome:
    for pending_commands in decider.pending_commands(row.state) if row.state is not None else ():
        room.emit(pending_commands, row.state.trace, redelivered=True)
    return "replayed"


def _as_it_is(row: Any, event: shell.Event, room: Any) -> Any:
    return row


if __name__ == "__main__":
    with patch.object(shell, "_repeat", _only_owed), patch.object(shell, "_adopt_epoch", _as_it_is):
        main()
