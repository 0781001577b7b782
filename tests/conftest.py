"""Fixtures that every test may ask for; each starts its real part when it is first used."""

import os

os.environ.pop("COLUMNS", None)  # of a terminal that nobody sees: where tests run side by side, it is always 80

from tests.support.kafka import broker, kafka_settings
from tests.support.postgres import postgres_dsn, postgres_server

__all__ = ["broker", "kafka_settings", "postgres_dsn", "postgres_server"]
