"""The shapes with the peers that are installed, the floor and Sluice in turns."""

from collections.abc import Sequence
from contextlib import AsyncExitStack

from tests.bench.commits import Database
from tests.bench.engine import FLEET, Engine
from tests.bench.environment import Environment
from tests.bench.floor import Floor
from tests.bench.pages import Contestant, Measured, measure
from tests.bench.peers.contestants import Dbos, Restate
from tests.bench.peers.installed import HOW, has_dbos, restate_server
from tests.bench.shapes import SHAPES

COMPARED = ("sequence", "parallel", "start")


async def measure_peers(env: Environment, rounds: int) -> dict[str, Measured]:
    """Nothing, with a sentence, where no peer is installed."""
    if not has_dbos() and restate_server() is None:
        print(f"skipped: neither Restate nor DBOS is installed here. To install them:\n{HOW}")
        return {}
    dsn = await env.database("peers")
    found = {}
    async with AsyncExitStack() as stack:
        engine = await stack.enter_async_context(Engine(env.home / "peers", env.api, dsn, FLEET))
        floor = await stack.enter_async_context(Floor(env.api, dsn))
        peers = await _started(stack, env, dsn, engine.db)
        for shape in (shape for shape in SHAPES if shape.name in COMPARED):
            found[f"peers-{shape.name}"] = await measure(env, engine.db, [floor, *peers, engine], shape, rounds)
    return found


async def _started(stack: AsyncExitStack, env: Environment, dsn: str, db: Database) -> Sequence[Contestant]:
    peers: list[Contestant] = []
    if (server := restate_server()) is not None:
        restate = Restate(env.home / "restate-peer", env.api, dsn, db, server)
        peers.append(await stack.enter_async_context(restate))
    else:
        print(f"skipped: Restate is not installed here. To install it:\n{HOW}")
    if has_dbos():
        system_dsn = await env.database("peers_dbos")
        peers.append(await stack.enter_async_context(Dbos(env.home / "dbos-peer", env.api, dsn, db, system_dsn)))
    else:
        print(f"skipped: DBOS is not installed here. To install it:\n{HOW}")
    return peers
