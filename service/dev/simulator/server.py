"""Server process of the simulator."""

import signal
import socket
from collections.abc import Callable

import uvicorn

from service.dev.simulator.app import build_app
from service.dev.simulator.config import SimulatorConfig
from topics.errors import Rejected

BACKLOG = 1_024
KEEP_ALIVE_SECONDS = 75
STOP_SECONDS = 2  # after this, requests that still hang are cut off


def serve(config: SimulatorConfig, on_ready: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT. `on_ready` gets the address once connections are accepted. Main thread only."""
    try:
        listening = socket.create_server((config.host, config.port), backlog=BACKLOG)
    except OSError as error:
        raise Rejected(
            f"cannot listen on {config.host}:{config.port}: {error.strerror}; does a simulator run there already?"
        ) from None
    app = build_app(config)
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            http="httptools",
            loop="uvloop",
            ws="none",
            lifespan="off",
            log_level="critical",
            access_log=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=STOP_SECONDS,
        )
    )

    def stop(number: int, frame: object) -> None:
        server.should_exit = True

    # For the time before the server has its own handlers, and after: at its end it raises the signal that stopped it.
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    host, port = listening.getsockname()[:2]
    on_ready(f"http://{host}:{port}")
    try:
        server.run(sockets=[listening])
    finally:
        app.close()
