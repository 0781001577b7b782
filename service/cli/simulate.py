"""`sluice simulate`: a simulated API on this machine."""

from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from service.cli import group
from service.dev.simulator.config import ORGS_MAX, PEOPLE_BY_SIZE, SimulatorConfig
from topics.errors import Rejected

app = group("Run a simulated API on this machine.")


@app.callback()
def simulate() -> None:
    """Run a simulated API on this machine."""


@app.command()
def pco(
    port: Annotated[int, typer.Option(help="The port; 0 is any free one.")] = 8765,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    orgs: Annotated[str, typer.Option(help="The number of organisations (org-1, ...), or names with commas.")] = "1",
    org: Annotated[list[str] | None, typer.Option(help="One organisation's name; may be repeated.")] = None,
    size: Annotated[str, typer.Option(help="small, medium or large: 200, 2,000 or 12,000 persons each.")] = "small",
    people: Annotated[int | None, typer.Option(help="Persons in each organisation, instead of a size.")] = None,
    seed: Annotated[int, typer.Option(help="The same seed, size and name give the same data.")] = 1,
    rate_limit: Annotated[bool, typer.Option(help="100 requests in 20 seconds for each organisation.")] = True,
    latency_ms: Annotated[int, typer.Option(help="The delay of each response in ms.")] = 0,
    token_seconds: Annotated[int, typer.Option(help="The lifetime of an OAuth access token.")] = 7_200,
    journal: Annotated[Path | None, typer.Option(help="A file that keeps page counts across restarts.")] = None,
) -> None:
    """Planning Center.

    Credentials of organisation `acme`: HTTP Basic with id `acme` and secret `secret-acme`; or OAuth, POST /oauth/token
    with client_id `simulator-app`, client_secret `secret-simulator-app`, and the code `code-acme` or the refresh token
    `refresh-acme`. Counters, faults and writes are under /_sim/.
    """
    if size not in PEOPLE_BY_SIZE:
        raise Rejected(f"--size {size} is not one of {', '.join(PEOPLE_BY_SIZE)}")
    try:
        config = SimulatorConfig(
            host=host,
            port=port,
            orgs=tuple(org) if org else _names(orgs),
            people=PEOPLE_BY_SIZE[size] if people is None else people,
            seed=seed,
            rate_limit=rate_limit,
            latency_ms=latency_ms,
            token_seconds=token_seconds,
            journal=journal,
        )
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False)
        raise Rejected("; ".join(f"--{p['loc'][0]}: {p['msg']}".replace("_", "-") for p in problems)) from None
    from service.dev.simulator.server import serve  # its HTTP server comes with the extra `embedded`

    serve(config, on_ready=lambda address: typer.echo(f"simulated Planning Center at {address}"))


def _names(orgs: str) -> tuple[str, ...]:
    if orgs.isdecimal():
        return tuple(f"org-{number}" for number in range(1, min(int(orgs), ORGS_MAX + 1) + 1))
    return tuple(name.strip() for name in orgs.split(","))
