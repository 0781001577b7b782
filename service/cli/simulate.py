"""`sluice simulate`: a simulated API on this machine."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from service.cli import group
from service.dev.simulator.config import SimulatorConfig
from service.dev.simulator.faults import FaultSpec
from service.dev.simulator.orders import read_order
from service.dev.simulator.rates import LifeRates
from topics.errors import Rejected

app = group("Run a simulated API on this machine.")


@app.callback()
def simulate() -> None:
    """Run a simulated API on this machine."""


@app.command()
def pco(
    context: typer.Context,
    port: Annotated[int, typer.Option(help="The port; 0 is any free one.")] = 8765,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    org: Annotated[list[str] | None, typer.Option(help="An organisation; may be repeated. Default: org-1.")] = None,
    people: Annotated[int, typer.Option(help="Persons in each organisation.")] = 200,
    seed: Annotated[int, typer.Option(help="The same seed, persons and name give the same data.")] = 1,
    rate_limit: Annotated[bool, typer.Option(help="100 requests in 20 seconds for each organisation.")] = True,
    latency_ms: Annotated[int, typer.Option(help="The delay of each response in ms.")] = 0,
    token_seconds: Annotated[int, typer.Option(help="The lifetime of an OAuth access token.")] = 7_200,
    inserts_per_second: Annotated[float, typer.Option(help="New records, of any entity.")] = 0.0,
    edits_per_second: Annotated[float, typer.Option(help="Changes that move updated_at.")] = 0.0,
    deletes_per_second: Annotated[float, typer.Option(help="Records that go, with those below them.")] = 0.0,
    merges_per_second: Annotated[float, typer.Option(help="Merges of two persons.")] = 0.0,
    invisible_per_second: Annotated[float, typer.Option(help="Changes that do not move updated_at.")] = 0.0,
    bursts_per_second: Annotated[float, typer.Option(help="Edits of many records within one second.")] = 0.0,
    burst_rows: Annotated[int, typer.Option(help="The records of a burst.")] = 250,
    late_seconds: Annotated[float, typer.Option(help="How long after its updated_at a late change shows.")] = 0.0,
    late_share: Annotated[float, typer.Option(help="The share of these changes that are late.")] = 1.0,
    living: Annotated[list[str] | None, typer.Option(help="An entity that changes; may be repeated.")] = None,
    clock_error_seconds: Annotated[float, typer.Option(help="How far the API's clock is ahead.")] = 0.0,
    fault: Annotated[
        list[str] | None, typer.Option(help="What is wrong from the start, as JSON for /_sim/faults; may be repeated.")
    ] = None,
    journal: Annotated[Path | None, typer.Option(help="A file that keeps page counts across restarts.")] = None,
) -> None:
    """Planning Center.

    Credentials of organisation `acme`: HTTP Basic with id `acme` and secret `secret-acme`; or OAuth, POST /oauth/token
    with client_id `simulator-app`, client_secret `secret-simulator-app`, and the code `code-acme` or the refresh token
    `refresh-acme`. Counters, faults and writes are under /_sim/, as is what happens at the rates below: it ends with
    POST /_sim/life/stop.
    """
    config = _config(context.params)
    from service.dev.simulator.server import serve  # its HTTP server comes with the extra `embedded`

    serve(config, on_ready=lambda address: typer.echo(f"simulated Planning Center at {address}"))


def _config(options: Mapping[str, Any]) -> SimulatorConfig:
    """The options of `pco`: those of the configuration and those of the rates have the names that they have there."""
    own = {name: options[name] for name in SimulatorConfig.model_fields.keys() & options.keys()}
    rates = {name: options[name] for name in LifeRates.model_fields.keys() & options.keys()}
    try:
        return SimulatorConfig(
            orgs=tuple(options["org"] or ["org-1"]),
            faults=tuple(read_order(FaultSpec, one.encode()) for one in options["fault"] or ()),
            life=LifeRates(entities=tuple(options["living"] or ()), **rates),
            **own,
        )
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False)
        raise Rejected("; ".join(f"--{p['loc'][0]}: {p['msg']}".replace("_", "-") for p in problems)) from None
