"""`python -m tests.checker install | check`: the audit before a run, the verdict after it. Exit codes: 0 clean, 1 not,
2 the evidence cannot be read."""

import argparse
import asyncio
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import msgspec
from aiokafka.errors import KafkaError

from tests.checker.audit import NotInstalled, install
from tests.checker.check import examine
from tests.checker.database import DatabaseUnreadable, read_database
from tests.checker.evidence import Evidence
from tests.checker.formats import Unreadable
from tests.checker.found import Found
from tests.checker.kafka_log import TopicsReader, TopicsUnreadable, read_topics
from tests.checker.layouts import read_layouts
from tests.checker.source import read_expected, read_lives, read_served
from tests.checker.stores import read_stores
from tests.checker.values import Message

UNREADABLE = 2
CANNOT = (
    NotInstalled,
    DatabaseUnreadable,
    TopicsUnreadable,
    Unreadable,
    KafkaError,
    asyncpg.PostgresError,
    httpx.HTTPError,
    msgspec.MsgspecError,
    OSError,
)


async def gather(given: argparse.Namespace) -> Evidence:
    """Everything that the arguments lead to."""
    layouts = read_layouts(given.adapter)
    reader = TopicsReader()
    await read_topics(given.bootstrap, reader, given.archive)
    found = reader.evidence()
    found.lives = await read_lives(given.simulator, given.orgs, layouts)
    await read_database(given.dsn, layouts, found)
    found.expected = await read_expected(given.simulator, given.orgs, layouts)
    found.read_at_ms = int(time.time() * 1000)
    if given.journal:
        found.served = list(read_served(given.journal, layouts))
    if given.produced:
        found.produced = [_message(line) for line in _lines(given.produced)]
    if given.poison:
        found.poison = {_message(line).origin: line["what"] for line in _lines(given.poison)}
    if given.tables:
        found.stores = list(read_stores(given.tables))
    return found


def _lines(path: Path) -> list[dict[str, Any]]:
    """A file with a JSON object on each line."""
    return msgspec.json.Decoder(dict[str, Any]).decode_lines(path.read_bytes())


def _message(line: Mapping[str, Any]) -> Message:
    key, value = (None if (text := line.get(name)) is None else text.encode() for name in ("key", "value"))
    return Message(line["topic"], line["partition"], line["offset"], key, value)


def report(examined: Mapping[str, Found]) -> bytes:
    """One JSON document: per invariant, what was looked at and what is wrong."""
    is_clean = not any(found.violations for found in examined.values())
    invariants = [{"name": name, **msgspec.structs.asdict(found)} for name, found in examined.items()]
    return msgspec.json.format(msgspec.json.encode({"is_clean": is_clean, "invariants": invariants})) + b"\n"


async def run(given: argparse.Namespace) -> int:
    if given.command == "install":
        print("the audit is installed" if await install(given.dsn) else "the audit was there already")
        return 0
    began = time.monotonic()
    examined = examine(await gather(given))
    if given.report is not None:
        given.report.write_bytes(report(examined))
    for name, found in examined.items():
        for sentence in found.violations:
            print(f"{name}: {sentence}")
    violations = sum(len(found.violations) + found.more_violations for found in examined.values())
    print(
        f"{violations} violations of {len(examined)} invariants, "
        f"{sum(found.looked_at for found in examined.values())} things looked at in {time.monotonic() - began:.1f} s"
    )
    for name, found in examined.items():
        if found.skipped:
            print(f"not checked: {name}: {found.skipped}")
    return 1 if violations else 0


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.checker", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    audit = commands.add_parser("install", help="put the audit into the database, once a fetcher has made its tables")
    check = commands.add_parser("check", help="read all evidence and judge it")
    for one in (audit, check):
        one.add_argument("--dsn", required=True, help="postgresql://…")
    check.add_argument("--bootstrap", required=True, help="host:port of the broker, past any proxy")
    check.add_argument("--simulator", required=True, help="http://host:port of the simulator, past any proxy")
    check.add_argument("--adapter", default="pco")
    check.add_argument("--orgs", required=True, type=lambda names: tuple(names.split(",")), help="a,b,c")
    check.add_argument("--journal", type=Path, help="the file that the simulator keeps of the pages it served")
    check.add_argument("--archive", type=Path, help="the journal's records as they came, where Kafka compacts them")
    check.add_argument("--produced", type=Path, help="JSON lines: topic, partition, offset, key, value (texts)")
    check.add_argument("--poison", type=Path, help="JSON lines: topic, partition, offset, what")
    check.add_argument("--tables", type=Path, help="a directory with the workers' RocksDB somewhere below")
    check.add_argument("--report", type=Path, help="where to write what was found, as JSON")
    return parser


def main() -> None:
    try:
        sys.exit(asyncio.run(run(arguments().parse_args())))
    except CANNOT as error:
        print(f"the evidence cannot be read: {type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(UNREADABLE)


if __name__ == "__main__":
    main()
