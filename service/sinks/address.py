"""What an address in SLUICE_SINK means: a SQLite file, or a PostgreSQL database."""

from pathlib import Path

from topics.errors import Rejected

_SQLITE = "sqlite:///"
_POSTGRES = ("postgresql://", "postgres://")


def sqlite_path(url: str) -> Path | None:
    """The file of a SQLite address, None for a PostgreSQL one. Rejected for any other.

    sqlite:///PATH is relative to the working directory, sqlite:////PATH absolute.
    """
    if url.startswith(_SQLITE) and len(url) > len(_SQLITE):
        return Path(url.removeprefix(_SQLITE)).expanduser()
    if url.startswith(_POSTGRES):
        return None
    scheme = url.partition(":")[0]
    raise Rejected(
        f"SLUICE_SINK has an address of kind {scheme!r}: it must be sqlite:///PATH or "
        "postgresql://USER:PASSWORD@HOST/DATABASE"
    )
