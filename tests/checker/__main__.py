"""`python -m tests.checker install | check`: the audit before a run, the verdict after it. Exit codes: 0 clean, 1 not,
2 the evidence cannot be read."""

import argparse
import asyncio
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import msgspec
from aiokafka.errors import KafkaError

from tests.checker.audit import NotInstalled, install
from tests.checker.check import examine, violations
from tests.checker.database import DatabaseUnreadable, read_database
from tests.checker.evidence import Evidence
from tests.checker.formats import Unreadable
from tests.checker.found import Found
from tests.checker.kafka_log import TopicsReader, TopicsUnreadable, read_topics
from tests.checker.layouts import read_layouts
from tests.checker.source import read_expected, read_served
from tests.checker.stores import read_stores
from tests.checker.values import Message, Poison

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
    logs = await read_topics(given.bootstrap, reader)
    database = await read_database(given.dsn, layouts)
    expected = await read_expected(given.simulator, given.orgs, layouts)
    return replace(
        reader.evidence(),
        read_at_ms=int(time.time() * 1000),
        logs=logs,
        audit=database.audit,
        changes=database.changes,
        runs=database.runs,
        tables=database.tables,
        expected=expected,
        published=database.published,
        timeline=database.timeline,
        served=None if given.journal is None else list(read_served(given.journal, layouts)),
        produced=None if given.produced is None else [_produced(line) for line in _lines(given.produced)],
        poison=None if given.poison is None else [_poison(line) for line in _lines(given.poison)],
        stores=None if given.tables is None else list(read_stores(given.tables)),
    )


def _lines(path: Path) -> Iterator[Mapping[str, Any]]:
    """A file with a JSON object on each line."""
    with path.open("rb") as lines:
        for line in lines:
            yield msgspec.json.decode(line)


def _produced(line: Mapping[str, Any]) -> Message:
    key, value = line.get("key"), line.get("value")
    return Message(
        line["topic"],
        line["partition"],
        line["offset"],
        None if key is None else key.encode(),
        None if value is None else value.encode(),
    )


def _poison(line: Mapping[str, Any]) -> Poison:
    return Poison((line["topic"], line["partition"], line["offset"]), line["what"])


def report(examined: Mapping[str, Found]) -> bytes:
    """One JSON document: per invariant, what was looked at and what is wrong."""
    invariants = [
        {
            "name": name,
            "looked_at": found.looked_at,
            "violations": found.violations,
            "more_violations": found.more,
            "figures": found.figures,
            "skipped": found.skipped,
        }
        for name, found in examined.items()
    ]
    is_clean = not violations(examined)
    return msgspec.json.format(msgspec.json.encode({"is_clean": is_clean, "invariants": invariants})) + b"\n"


async def run(given: argparse.Namespace) -> int:
    if given.command == "install":
        print("the audit is installed" if await install(given.dsn) else "the audit was there already")
        return 0
    began = time.monotonic()
    examined = examine(await gather(given))
    if given.report is not None:
        given.report.write_bytes(report(examined))
    found = violations(examined)
    for violation in found:
        print(f"{violation.invariant}: {violation.sentence}")
    more = sum(one.more for one in examined.values())
    print(
        f"{len(found) + more} violations of {len(examined)} invariants, "
        f"{sum(one.looked_at for one in examined.values())} things looked at in {time.monotonic() - began:.1f} s"
    )
    for name, one in examined.items():
        if one.skipped:
            print(f"not checked: {name}: {one.skipped}")
    return 1 if found else 0


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
