"""Where the peers are installed, and how. Nothing here installs anything."""

from pathlib import Path

HOME = Path("build/peers")
PYTHON = HOME / "venv/bin/python"
RESTATE_SERVERS = "node_modules/@restatedev/restate-server-*/bin/restate-server"
HOW = f"""\
python3 -m venv {HOME}/venv
{HOME}/venv/bin/pip install restate-sdk==1.3.0 hypercorn==0.18.0 dbos==3.4.0 aiohttp asyncpg uvloop
npm install --ignore-scripts --prefix {HOME} @restatedev/restate-server@1.7.12"""


def has_dbos() -> bool:
    return _has_module("dbos")


def restate_server() -> Path | None:
    """The server's binary, if both it and the service's SDK are there."""
    found = sorted(HOME.glob(RESTATE_SERVERS))
    return found[0].absolute() if found and _has_module("restate") and _has_module("hypercorn") else None


def _has_module(name: str) -> bool:
    return PYTHON.exists() and any(HOME.glob(f"venv/lib/python*/site-packages/{name}"))
