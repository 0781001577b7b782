"""Log lines for tired people: time, level, what happened, and the facts as name=value at the end."""

import logging
import sys

_QUIET = (
    "aiokafka",
    "faust",
    "mode",
    "kafka",
    "asyncio",
    "httpx",
    "agents",
    "tables",
)  # the last two: what Faust says as us


class Line(logging.Formatter):
    """A message is a constant; what varies stands in attributes that start with `sluice.`."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s  %(message)s", "%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        facts = [f"{name}={value}" for name, value in vars(record).items() if name.startswith("sluice.")]
        line = super().format(record)
        return " ".join([line, *facts]) if facts else line


def configure(verbose: bool = False) -> None:
    """Ours from INFO on, what libraries say from WARNING on; `verbose` shows theirs from INFO on, too."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Line())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.INFO if verbose else logging.WARNING)
