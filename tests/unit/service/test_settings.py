"""Settings: what the environment may say, and what a child process reads."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from service.settings import Settings, child_environment, read_settings
from topics.errors import Rejected


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("https_proxy", "http_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return monkeypatch


@pytest.mark.parametrize(
    ("variables", "url"),
    [
        ({"SLUICE_HTTPS_PROXY": "http://a", "https_proxy": "http://b", "HTTPS_PROXY": "http://c"}, "http://a"),
        ({"https_proxy": "http://b", "HTTPS_PROXY": "http://c"}, "http://b"),
        ({"HTTPS_PROXY": "http://c"}, "http://c"),
        ({"SLUICE_HTTPS_PROXY": "", "https_proxy": "http://b"}, ""),
    ],
)
def test_a_proxy_is_ours_or_else_the_usual_one(
    environment: pytest.MonkeyPatch, variables: dict[str, str], url: str
) -> None:
    for name, value in variables.items():
        environment.setenv(name, value)
    settings = read_settings()
    assert settings.https_proxy == SecretStr(url)
    assert child_environment(settings)["SLUICE_HTTPS_PROXY"] == url


@pytest.mark.parametrize("name", ["KAFKA_PASSWORD", "HTTPS_PROXY", "HTTP_PROXY"])
def test_a_password_and_a_proxy_may_be_in_a_file(environment: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    (tmp_path / "secret").write_text("http://u:secret-77@h\n")
    environment.setenv(f"SLUICE_{name}", f"file:{tmp_path}/secret")
    settings = read_settings()
    assert getattr(settings, name.lower()).get_secret_value() == "http://u:secret-77@h"
    assert "secret-77" not in repr(settings)


@pytest.mark.parametrize(
    ("variables", "why"),
    [
        ({"SLUICE_HOMES": "x", "SLUICE_home": "x"}, r"^unknown setting SLUICE_HOMES, SLUICE_home; there are: SLUICE_C"),
        (
            {"SLUICE_KAFKA_PORT": "x", "SLUICE_KAFKA_PASSWORD": "file:/nowhere", "https_proxy": "file:/nowhere"},
            "^settings are wrong: SLUICE_KAFKA_PORT: .* integer.*; SLUICE_KAFKA_PASSWORD: /nowhere cannot be read: "
            "No such file or directory; https_proxy: /nowhere cannot be read: No such file or directory$",
        ),
    ],
)
def test_each_variable_that_is_unknown_or_wrong_is_named(
    environment: pytest.MonkeyPatch, variables: dict[str, str], why: str
) -> None:
    for name, value in variables.items():
        environment.setenv(name, value)
    with pytest.raises(Rejected, match=why):
        read_settings()


@pytest.mark.parametrize(("name", "least", "most"), [("RETENTION_DAYS", 9, 36_500), ("DEAD_LETTERS_DAYS", 1, 36_500)])
def test_days_that_are_too_few_or_no_time_can_hold_are_refused(
    environment: pytest.MonkeyPatch, name: str, least: int, most: int
) -> None:
    for days in (-1, 0, least - 1, most + 1, 10**12):
        environment.setenv(f"SLUICE_{name}", str(days))
        with pytest.raises(Rejected, match=rf"SLUICE_{name}: Input should be (greater|less) than or equal to"):
            read_settings()
    for days in (least, most):
        environment.setenv(f"SLUICE_{name}", str(days))
        assert getattr(read_settings(), name.lower()) == days


def test_a_variable_without_our_prefix_is_no_setting(environment: pytest.MonkeyPatch) -> None:
    for name in ("home", "HOME", "sink", "java"):
        environment.setenv(name, "/elsewhere")
    assert read_settings() == Settings()
    assert Settings().model_fields_set == set()
