"""`sluice dead-letters`: messages that can never be handled, with their origin and the reason."""

import asyncio
from typing import Annotated, Any

import typer

from service.cli import group
from service.cli.output import AsJson, say, show
from service.clock import SystemClock
from service.kafka.dead_letters import LISTED_MAX, SEARCHED_MAX, Newest, Origin, StoredDeadLetter, open_dead_letters
from service.read_model.times import moment, now_ms
from service.settings import read_settings
from topics.errors import SHOWN_CHARS_MAX, Rejected, shortened

BYTES_SHOWN_MAX = 20_000  # of a value or a header; a longer one is cut, with its length at the end
LIMIT_DEFAULT = 50

app = group("List and show messages that can never be handled.")


@app.command("list")
def list_(
    limit: Annotated[int, typer.Option(min=1, max=LISTED_MAX, help="How many, the newest first.")] = LIMIT_DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Show the newest dead letters: time, origin, reason."""
    found = asyncio.run(_newest(limit))
    show({"letters": [_letter(one) for one in found.letters], "more": found.more}, as_json, _print_all)


@app.command("show")
def show_(
    origin: Annotated[str, typer.Argument(metavar="TOPIC/PARTITION/OFFSET", help="Its origin, as `list` shows it.")],
    as_json: AsJson = False,
) -> None:
    """Show everything about one dead letter."""
    found = asyncio.run(_find(_parsed(origin)))
    if found is None:
        raise Rejected(
            f"no dead letter came from {origin}; `sluice dead-letters list` shows those there are (they are kept for "
            f"30 days unless your cluster says otherwise, and the newest {SEARCHED_MAX:,} of a partition are searched)"
        )
    show(_letter(found), as_json, _print_one)


async def _newest(limit: int) -> Newest:
    async with open_dead_letters(read_settings(), SystemClock()) as reader:
        return await reader.newest(limit)


async def _find(origin: Origin) -> StoredDeadLetter | None:
    async with open_dead_letters(read_settings(), SystemClock()) as reader:
        return await reader.find(origin)


def _parsed(origin: str) -> Origin:
    match origin.split("/"):
        case [topic, partition, offset] if topic and partition.isdecimal() and offset.isdecimal():
            return topic, int(partition), int(offset)
    raise typer.BadParameter(f"{origin!r} is not TOPIC/PARTITION/OFFSET, for example start-sync/3/17")


def _letter(stored: StoredDeadLetter) -> dict[str, Any]:
    """A dead letter as text; bytes that are not UTF-8 are hex after `hex:`. Times are Unix ms. None: absent."""
    letter = stored.letter
    return {
        "origin": "/".join(map(str, stored.origin)),
        "reason": letter.reason,
        "stored_at": stored.stored_at,
        "sent_at": letter.at,
        "key": as_text(letter.key),
        "headers": [(name, as_text(content)) for name, content in letter.headers],
        "value_bytes": stored.value_bytes,
        "value": as_text(letter.value),
        "cut": letter.cut,
    }


def as_text(content: bytes | None) -> str | None:
    """The text, or hex if it is not UTF-8; cut at BYTES_SHOWN_MAX. None: absent."""
    if content is None:
        return None
    start = content[:BYTES_SHOWN_MAX]
    cut = f"… (cut: {len(content):,} bytes)" if len(content) > len(start) else ""
    try:
        return content.decode()[:BYTES_SHOWN_MAX] + cut
    except UnicodeDecodeError:
        return f"hex:{start.hex()}{cut}"


def _print_all(found: dict[str, Any]) -> None:
    if not found["letters"]:
        say("there are no dead letters")
        return
    now = now_ms(SystemClock())
    for letter in found["letters"]:
        say(f"{letter['origin']}  {moment(letter['stored_at'], now)}", "bold")
        say(f"  key     {shortened(_or_dash(letter['key']), SHOWN_CHARS_MAX)}")
        say(f"  reason  {letter['reason']}")
    if found["more"]:
        say(f"and {found['more']:,} older ones; --limit shows up to {LISTED_MAX:,}")


def _print_one(letter: dict[str, Any]) -> None:
    now = now_ms(SystemClock())
    say(letter["origin"], "bold")
    say(f"  reason  {letter['reason']}", "red")
    say(f"  sent    {moment(letter['sent_at'], now) if letter['sent_at'] else '-'}")
    say(f"  stored  {moment(letter['stored_at'], now)}")
    say(f"  key     {_or_dash(letter['key'])}")
    for name, content in letter["headers"]:
        say(f"  header  {name}: {_or_dash(content)}")
    for part in letter["cut"]:
        say(f"  cut     {part}", "yellow")
    say(f"  value   {letter['value_bytes']:,} bytes")
    if letter["value"]:
        say(letter["value"])


def _or_dash(content: str | None) -> str:
    return "-" if content is None else content
