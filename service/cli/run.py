"""`sluice dev` and the roles behind it: worker, fetcher, projector."""

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Annotated

import typer

from service import roles
from service.cli.output import console
from service.clock import SystemClock
from service.dev.environment import run_dev
from service.logs import configure
from service.settings import Settings, read_settings

PARENT_CHECK_SECONDS = 1.0

Name = Annotated[
    str | None,
    typer.Option(help="Unique among the processes of this role, and the same after a restart. Default: HOST-ROLE."),
]
Parent = Annotated[int | None, typer.Option(hidden=True, help="End when this process, the supervisor, has ended.")]
Verbose = Annotated[bool, typer.Option(help="Show the libraries' log lines, too.")]


def worker(name: Name = None, parent: Parent = None, verbose: Verbose = False) -> None:
    """Run a worker: consume commands, keep the workflows' state, request pages."""
    _run("worker", roles.run_worker, name, parent, verbose)


def fetcher(name: Name = None, parent: Parent = None, verbose: Verbose = False) -> None:
    """Run a fetcher: read pages from the APIs and write them to the database."""
    _run("fetcher", roles.run_fetcher, name, parent, verbose)


def projector(name: Name = None, parent: Parent = None, verbose: Verbose = False) -> None:
    """Run a projector: publish the state of every workflow to the database's status tables."""
    _run("projector", roles.run_projector, name, parent, verbose)


def dev() -> None:
    """Run everything on this machine: the broker (unless SLUICE_KAFKA_BOOTSTRAP names yours) and all roles.

    A process that ends is restarted. Ctrl-C stops all. Logs are in SLUICE_HOME/logs.
    """
    configure()
    asyncio.run(run_dev(read_settings(), SystemClock(), lambda line: console.print(line, markup=False)))


def _run(role: str, run: Callable[[Settings, str], None], name: str | None, parent: int | None, verbose: bool) -> None:
    configure(verbose)
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    run(read_settings(), name or roles.default_name(role))


def _end_with(parent: int) -> None:
    """End this process when its supervisor has ended: the next supervisor starts processes of its own."""
    while os.getppid() == parent:
        time.sleep(PARENT_CHECK_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)
