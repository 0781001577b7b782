"""The shapes with the peers that are installed, the floor and Sluice in turns."""

from contextlib import AsyncExitStack

from tests.bench.engine import FLEET, Engine
from tests.bench.environment import Environment
from tests.bench.floor import Floor
from tests.bench.pages import Contestant, Measured, measure
from tests.bench.peers.contestants import Dbos, Restate
from tests.bench.peers.installed import HOW, has_dbos, restate_server
from tests.bench.shapes import SHAPES

COMPARED = ("sequence", "parallel", "start")


async def measure_peers(env: Environment, rounds: int) -> dict[str, Measured]:
    """With a sentence for each peer that is not installed; nothing if none is."""
    server, found = restate_server(), {}
    for name, is_there in (("Restate", server is not None), ("DBOS", has_dbos())):
        if not is_there:
            print(f"skipped: {name} is not installed here. To install it:\n{HOW}")
    if server is None and not has_dbos():
        return {}
    dsn = await env.database("peers")
    async with AsyncExitStack() as stack:
        engine = await stack.enter_async_context(Engine(env.home / "peers", env.api, dsn, FLEET))
        contestants: list[Contestant] = [await stack.enter_async_context(Floor(env.api, dsn))]
        if server is not None:
            restate = Restate(env.home / "restate-peer", env.api, dsn, engine.db, server)
            contestants.append(await stack.enter_async_context(restate))
        if has_dbos():
            dbos = Dbos(env.home / "dbos-peer", env.api, dsn, engine.db, await env.database("peers_dbos"))
            contestants.append(await stack.enter_async_context(dbos))
        for shape in (shape for shape in SHAPES if shape.name in COMPARED):
            found[f"peers-{shape.name}"] = await measure(env, engine.db, [*contestants, engine], shape, rounds)
    return found
