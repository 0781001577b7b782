"""The local environment: embedded Kafka, supervisor, demo and simulator for a laptop."""

from collections.abc import Callable

Say = Callable[[str], None]
"""Shows a person one line about what is being done."""
