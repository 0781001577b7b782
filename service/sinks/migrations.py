"""Migrations of the internal tables: numbered SQL files, and those that a database still lacks. Runs no SQL."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Literal

from topics.errors import Broken, Rejected

Engine = Literal["postgres", "sqlite"]

RECORD_TABLE = """create table if not exists sluice_migrations (
    number integer primary key, name text not null, checksum text not null, applied_at text not null
)"""
READ_APPLIED = "select number, checksum from sluice_migrations"
_FILE = re.compile(r"^(\d{3})_[a-z0-9_]+\.sql$")


class NotPrepared(Rejected):
    """The database exists, but lacks the tables: no process has created them yet."""


@dataclass(frozen=True, slots=True)
class Migration:
    """A numbered SQL file. It must not change once it was applied anywhere."""

    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        return sha256(self.sql.encode()).hexdigest()


@cache
def shipped(engine: Engine) -> tuple[Migration, ...]:
    """This version's files for a database, by number."""
    folder = files("service.sinks").joinpath("sql", engine)
    found = []
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        match = _FILE.match(file.name)
        if match is None:
            raise Broken(f"service/sinks/sql/{engine}/{file.name} is not named like 001_name.sql: rename it")
        found.append(Migration(int(match[1]), file.name, file.read_text(encoding="utf-8")))
    if [migration.number for migration in found] != list(range(1, len(found) + 1)):
        raise Broken(f"files in service/sinks/sql/{engine} are not numbered 001, 002, … without a gap: renumber them")
    return tuple(found)


def pending(migrations: tuple[Migration, ...], applied: Mapping[int, str], database: str) -> tuple[Migration, ...]:
    """The migrations to apply, given the checksums in the database by number. Rejected where the two disagree."""
    known = {migration.number: migration for migration in migrations}
    for number, checksum in sorted(applied.items()):
        if number not in known:
            raise Rejected(
                f"{database} has migration {number:03d}, but the newest of this version of Sluice is "
                f"{len(migrations):03d}: the database is newer than the program. Run the newer version"
            )
        if known[number].checksum != checksum:
            raise Rejected(
                f"{database} was set up with another {known[number].name} than this version of Sluice has: the file "
                "was changed after it was applied. Run the version that set up the database, or a newer release"
            )
    return tuple(migration for migration in migrations if migration.number not in applied)
