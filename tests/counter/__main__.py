"""`python -m tests.counter ROLE`: a process of an installation that has counters besides Sluice's own kinds."""

import sys

from service.logs import configure
from service.roles import run_fetcher, run_projector, run_worker
from service.settings import read_settings
from tests.counter.decider import RECORD
from tests.counter.kind import WITH_COUNTER
from topics.actions import Payload, RunAction


async def record(command: RunAction) -> Payload:
    """The action of a counter: there is nothing to do but to say what was recorded."""
    return {"recorded": command.input["count"]}


def main(role: str) -> None:
    configure()
    settings, name = read_settings(), f"counter-{role}"
    match role:
        case "worker":
            run_worker(settings, name, WITH_COUNTER)
        case "fetcher":
            run_fetcher(settings, name, WITH_COUNTER, {RECORD: record})
        case "projector":
            run_projector(settings, name, WITH_COUNTER)


if __name__ == "__main__":
    main(sys.argv[1])
