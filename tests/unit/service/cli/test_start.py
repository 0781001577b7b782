"""`sluice start`: invalid arguments, and the problems of a run that did not complete."""

import pytest
import typer
from typer.testing import CliRunner

from service.cli.start import by_reason, start
from service.read_model.progress import RunProgress, Snapshot
from tests.engine.engine import Engine
from topics.errors import Rejected

app = typer.Typer()
app.command()(start)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["nope", "--org", "acme"], "no adapter 'nope'"),
        (["pco", "--org", "acme", "--type", "weekly"], "there are: full, delta"),
        (["pco", "--org", "a:b"], "--org 'a:b'"),
        (["pco", "--org", "acme", "--request-id", ""], "--request-id ''"),
        (["pco", "--org", "acme", "--on-conflict", "wait"], "'wait' is not one of"),
        (["pco"], "Missing option"),
        (["pco", *(f"--org=org-{number}" for number in range(51))], "at most 50"),
    ],
)
def test_invalid_arguments_are_a_usage_error(arguments: list[str], reason: str) -> None:
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "300", "TERMINAL_WIDTH": "300"})
    assert (result.exit_code, reason in result.output) == (2, True), result.output


async def test_the_reasons_of_a_failed_run_are_listed_once_with_the_entities_that_they_met() -> None:
    engine = Engine()
    engine.source.trouble = lambda request: Rejected("401 Unauthorized")
    engine.start("r1")
    await engine.settle()
    view = RunProgress().view(Snapshot(0.0, engine.clock.now_ms, engine.sync(), ()))
    assert {reason: sorted(names) for reason, names in by_reason(view).items()} == {
        "failed: 401 Unauthorized": ["a.guest", "a.house", "a.log"],
        "blocked: a.house failed": ["a.pet", "a.room"],
    }
