import ssl
from pathlib import Path

import certifi
import pytest
from pydantic import SecretStr

from service.kafka.client import client_arguments
from service.settings import Settings
from topics.errors import Rejected

CLUSTER = Settings(kafka_bootstrap="a.example:9093,b.example:9093")
SASL = {
    "kafka_sasl_mechanism": "SCRAM-SHA-256",
    "kafka_username": "sluice",
    "kafka_password": SecretStr("correct horse"),
}


@pytest.mark.parametrize("bootstrap", [None, ""])
def test_without_a_cluster_of_ones_own_clients_meet_the_embedded_broker_in_plain_text(bootstrap: str | None) -> None:
    arguments = client_arguments(Settings(kafka_bootstrap=bootstrap, kafka_port=19092))
    given = {name: value for name, value in arguments.items() if value is not None}
    assert given == {"bootstrap_servers": ["127.0.0.1:19092"], "security_protocol": "PLAINTEXT"}


def test_sasl_over_tls_brings_the_user_and_a_context_that_checks_names() -> None:
    arguments = client_arguments(CLUSTER.model_copy(update={**SASL, "kafka_security": "SASL_SSL"}))
    context = arguments.pop("ssl_context")
    assert context is not None
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert arguments == {
        "bootstrap_servers": ["a.example:9093", "b.example:9093"],
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-256",
        "sasl_plain_username": "sluice",
        "sasl_plain_password": "correct horse",
    }


@pytest.mark.parametrize(("security", "has_tls", "has_user"), [("SASL_PLAINTEXT", False, True), ("SSL", True, False)])
def test_without_tls_there_is_no_context_and_without_sasl_no_password_is_sent(
    security: str, has_tls: bool, has_user: bool
) -> None:
    arguments = client_arguments(CLUSTER.model_copy(update={**SASL, "kafka_security": security}))
    assert (arguments["ssl_context"] is not None, arguments["sasl_plain_username"] is not None) == (has_tls, has_user)
    assert (arguments["sasl_plain_password"] is not None) == has_user


def test_an_authority_of_ones_own_is_the_only_one_that_is_trusted(tmp_path: Path) -> None:
    first, end, _ = certifi.contents().partition("-----END CERTIFICATE-----")
    file = tmp_path / "ca.pem"
    file.write_text(first + end)
    context = client_arguments(CLUSTER.model_copy(update={"kafka_security": "SSL", "kafka_ca_file": file}))[
        "ssl_context"
    ]
    assert context is not None
    assert len(context.get_ca_certs()) == 1


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"kafka_security": "SASL_SSL", "kafka_username": None}, "set SLUICE_KAFKA_USERNAME and SLUICE_KAFKA_PASSWORD"),
        ({"kafka_security": "SASL_SSL", "kafka_password": None}, "set SLUICE_KAFKA_USERNAME and SLUICE_KAFKA_PASSWORD"),
        ({"kafka_security": "SSL", "kafka_bootstrap": None}, "embedded broker speaks PLAINTEXT only"),
        ({"kafka_bootstrap": ",".join(f"host{number}:9092" for number in range(33))}, "names 33 servers"),
        *(
            ({"kafka_bootstrap": wrong}, "set it to HOST:PORT")
            for wrong in ("kafka", "kafka:", ":9092", "kafka:0", "kafka:70000", "kafka://a:9092", "a:1,")
        ),
    ],
)
def test_settings_that_are_wrong_or_do_not_fit_each_other_are_rejected(
    settings: dict[str, object], problem: str
) -> None:
    with pytest.raises(Rejected, match=problem):
        client_arguments(CLUSTER.model_copy(update={**SASL, **settings}))


def test_an_authority_file_that_is_missing_or_no_certificate_is_rejected(tmp_path: Path) -> None:
    no_certificate = tmp_path / "ca.pem"
    no_certificate.write_text("hello")
    for file, reason in [(tmp_path / "missing.pem", "cannot be read"), (no_certificate, "contains no certificate")]:
        with pytest.raises(Rejected, match=reason):
            client_arguments(CLUSTER.model_copy(update={"kafka_security": "SSL", "kafka_ca_file": file}))
