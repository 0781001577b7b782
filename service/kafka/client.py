"""Access to Kafka: the checked settings, as arguments of its clients."""

import ssl
from pathlib import Path
from typing import TypedDict

from service.settings import Settings
from topics.errors import Rejected

SERVERS_MAX = 32  # bootstrap servers in one setting; a client needs two or three


class ClientArguments(TypedDict, total=False):
    """Keyword arguments that aiokafka's clients have in common. The SASL values are None without it."""

    bootstrap_servers: list[str]
    security_protocol: str
    ssl_context: ssl.SSLContext | None
    sasl_mechanism: str | None
    sasl_plain_username: str | None
    sasl_plain_password: str | None


def client_arguments(settings: Settings) -> ClientArguments:
    """Arguments for any aiokafka client. Rejected: a setting is missing or wrong."""
    security = settings.kafka_security
    if not settings.kafka_bootstrap and security != "PLAINTEXT":
        raise Rejected(
            f"SLUICE_KAFKA_SECURITY is {security}, but the embedded broker speaks PLAINTEXT only: "
            "set SLUICE_KAFKA_BOOTSTRAP to your cluster, or unset SLUICE_KAFKA_SECURITY"
        )
    username, password = _credentials(settings) if security.startswith("SASL_") else (None, None)
    return ClientArguments(
        bootstrap_servers=_servers(settings.bootstrap),
        security_protocol=security,
        ssl_context=_ssl_context(settings.kafka_ca_file) if security.endswith("SSL") else None,
        sasl_mechanism=settings.kafka_sasl_mechanism if username else None,
        sasl_plain_username=username,
        sasl_plain_password=password,
    )


def _servers(bootstrap: str) -> list[str]:
    servers = [part.strip() for part in bootstrap.split(",")]
    if len(servers) > SERVERS_MAX:
        raise Rejected(f"SLUICE_KAFKA_BOOTSTRAP names {len(servers)} servers: name at most {SERVERS_MAX} of them")
    for server in servers:
        host, _, port = server.rpartition(":")
        if not host or "/" in server or not port.isdecimal() or not 1 <= int(port) <= 65535:
            raise Rejected(f"SLUICE_KAFKA_BOOTSTRAP contains {server!r}: set it to HOST:PORT[,HOST:PORT…]")
    return servers


def _credentials(settings: Settings) -> tuple[str, str]:
    password = settings.kafka_password.get_secret_value() if settings.kafka_password else ""
    if not settings.kafka_username or not password:
        raise Rejected(
            f"SLUICE_KAFKA_SECURITY is {settings.kafka_security}: "
            "set SLUICE_KAFKA_USERNAME and SLUICE_KAFKA_PASSWORD as well"
        )
    return settings.kafka_username, password


def _ssl_context(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file.expanduser() if ca_file else None)
    except ssl.SSLError:
        raise Rejected(f"SLUICE_KAFKA_CA_FILE names {ca_file}, which contains no certificate in PEM format") from None
    except OSError as error:
        raise Rejected(f"SLUICE_KAFKA_CA_FILE names {ca_file}, which cannot be read: {error.strerror}") from None
