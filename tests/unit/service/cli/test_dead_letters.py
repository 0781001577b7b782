"""`sluice dead-letters`: the checks and texts that need no broker."""

import pytest
from typer.testing import CliRunner

from service.cli.dead_letters import BYTES_SHOWN_MAX, app, as_text
from service.cli.output import say


@pytest.mark.parametrize("origin", ["start-sync", "start-sync/0", "start-sync/0/x", "/0/1", "start-sync/0/1/2"])
def test_a_wrong_origin_is_a_usage_error(origin: str) -> None:
    result = CliRunner().invoke(app, ["show", origin], env={"COLUMNS": "200", "TERMINAL_WIDTH": "200"})
    assert (result.exit_code, "for example start-sync/3/17" in result.output) == (2, True)


@pytest.mark.parametrize("limit", ["0", "1001"])
def test_a_limit_out_of_bounds_is_a_usage_error(limit: str) -> None:
    assert CliRunner().invoke(app, ["list", "--limit", limit]).exit_code == 2


def test_text_is_shown_as_text_and_the_rest_as_hex_and_a_long_value_is_cut() -> None:
    assert (as_text("grüße".encode()), as_text(b"\xff\x00")) == ("grüße", "hex:ff00")
    assert as_text(b"x" * (BYTES_SHOWN_MAX + 1)) == "x" * BYTES_SHOWN_MAX + "… (cut: 20,001 bytes)"
    assert str(as_text(b"\xff" * (BYTES_SHOWN_MAX + 1))).endswith("ff… (cut: 20,001 bytes)")
    assert as_text(None) is None


def test_text_from_a_message_does_not_control_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    say("\x1b[2J[bold] main-sync:a:pco")
    assert capsys.readouterr().out == "\ufffd[2J[bold] main-sync:a:pco\n"
