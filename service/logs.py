"""Log lines: time, level, logger, message, then the facts as name=value."""

import logging
import sys

# The last two are names of our modules under which Faust logs.
_QUIET = ("aiokafka", "faust", "mode", "kafka", "asyncio", "httpx", "agents", "tables")


class Line(logging.Formatter):
    """A message is a constant; its facts are attributes whose names start with `sluice.`."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s  %(message)s", "%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        facts = [f"{name}={value}" for name, value in vars(record).items() if name.startswith("sluice.")]
        line = super().format(record)
        return " ".join([line, *facts]) if facts else line


def configure(verbose: bool = False) -> None:
    """Show our log lines from INFO on, the libraries' from WARNING on, or from INFO on with `verbose`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Line())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.INFO if verbose else logging.WARNING)
