"""Display of runs in progress: a board that fits the terminal, or a line for each event.

All figures come from `service.read_model.progress`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from service.read_model.progress import ACTIVE, BAD, PHASES, UNREAD, EntityView, Phase, RunView
from service.read_model.times import DAY, age, span

NAME_WIDTH_MAX = 30
BAR_WIDTH_MIN, BAR_WIDTH_MAX = 8, 30
NUMBERS_WIDTH = 43  # of a row: everything but the name and the bar
HEAD_LINES = 3  # title, sums, headings
ROWS_MIN = 2  # with fewer lines for each run, each run is one line
QUIET_SECONDS = 30.0  # without a change for so long, that is shown
FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
FRAMES_A_SECOND = 10
PULSE_WIDTH = 3

STYLES: dict[str, str] = {
    "running": "cyan",
    "finishing": "cyan",
    "retrying": "yellow",
    "failed": "bold red",
    "blocked": "magenta",
    "cancelled": "magenta",
    "done": "green",
    "waiting": "dim",
}
SYMBOLS = {"retrying": "↻", "failed": "✗", "blocked": "⊘", "cancelled": "⊘", "done": "✓", "waiting": "·"}


@dataclass(frozen=True, slots=True)
class Pending:
    """A request without a run yet, shown in the run's place: its title and its state."""

    title: str
    text: str
    is_trouble: bool = False


Block = RunView | Pending


@dataclass(frozen=True, slots=True)
class Board:
    """The blocks, one below the other, within the height of the terminal. They were read at `now` (Unix ms)."""

    blocks: Sequence[Block]
    now: int
    notice: str = ""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        canvas = _Canvas(options.max_width, console.get_time(), self.now)
        left = console.height - 1 - bool(self.notice)
        lines = list(self._lines(canvas, left))
        if self.notice:
            lines.append(Text(self.notice, "yellow"))
        for line in lines:
            line.truncate(canvas.width, overflow="ellipsis")
            yield line

    def _lines(self, canvas: "_Canvas", left: int) -> Iterator[Text]:
        if left // max(len(self.blocks), 1) < HEAD_LINES + ROWS_MIN + 1:
            yield from self._one_line_each(canvas, left)
            return
        for number, block in enumerate(self.blocks):
            lines = canvas.block(block, left // (len(self.blocks) - number) - (number > 0))
            if number:
                lines.insert(0, Text(""))
            left -= len(lines)
            yield from lines

    def _one_line_each(self, canvas: "_Canvas", left: int) -> Iterator[Text]:
        """Runs that are not done come first; those that do not fit are counted."""
        first = sorted(self.blocks, key=lambda block: isinstance(block, RunView) and block.status == "done")
        folds = len(first) > left
        for block in first[: left - folds]:
            yield canvas.one_line(block)
        if folds:
            yield Text(f"  … and {len(first) - left + 1} more", "dim")


@dataclass(frozen=True, slots=True)
class _Canvas:
    """The width of lines, and the time: `at` (seconds) selects the frame of what is animated."""

    width: int
    at: float
    now: int

    def block(self, block: Block, lines_max: int) -> list[Text]:
        if isinstance(block, Pending):
            return [self.title(block)]
        lines = [self.title(block), self._sums(block)]
        if any(one.phase != "waiting" for one in block.entities):
            lines.append(self._headings(block))
        for number, entity in enumerate(block.entities):
            drawn = self._entity(block, entity)
            if len(lines) + len(drawn) + (number + 1 < len(block.entities)) > lines_max:
                return [*lines, Text(f"  … {_counted(block.entities[number:])}", "dim")]
            lines += drawn
        return lines

    def title(self, block: Block) -> Text:
        if isinstance(block, Pending):
            mark = ("✗ ", "bold red") if block.is_trouble else (f"{self._frame()} ", "cyan")
            return Text.assemble(mark, (block.title, "bold"), "  ", (block.text, "red" if block.is_trouble else "dim"))
        return Text.assemble(
            (f"{self._mark(block.status)} ", STYLES[block.status]),
            (block.org, "bold"),
            f"  {block.adapter} {block.type}  ",
            (block.status, STYLES[block.status]),
            f"  {block.ended}/{len(block.entities)} entities  {_clock(block.elapsed_seconds)}",
        )

    def one_line(self, block: Block) -> Text:
        line = self.title(block)
        return line if isinstance(block, Pending) else line.append_text(self._sums(block))

    def _sums(self, run: RunView) -> Text:
        line = Text.assemble(
            (f"  {run.records:,}", "bold"), " records  ",
            (f"{run.pages:,}", "bold"), " pages  ",
            (f"{run.records_per_second:,.0f}", "bold"), " records/s",
        )  # fmt: skip
        if run.rejected:
            line.append(f"  {run.rejected:,} rejected", "yellow")
        if run.status != "done" and run.reason:
            line.append(f"  {run.reason}", "red")
        if run.quiet_seconds >= QUIET_SECONDS:
            line.append(f"  no change for {span(int(run.quiet_seconds))}", "yellow")
        return line

    def _headings(self, run: RunView) -> Text:
        name, bar = self._widths(run)
        progress = f" {'':<{bar}}" if bar else ""
        return Text(f"    {'':<{name}}{progress} {'pages':>11} {'records':>10} {'per s':>7} {'left':>7}", "dim")

    def _entity(self, run: RunView, entity: EntityView) -> list[Text]:
        name, bar = self._widths(run)
        style = STYLES[entity.phase]
        line = Text.assemble((f"  {self._mark(entity.phase)} ", style), _fitted(entity.name, name))
        if entity.phase in UNREAD:
            word = "waits for" if entity.phase == "waiting" else f"{entity.phase}:"
            line.append(f" {word} {entity.reason or ', '.join(entity.waits_for)}", style)
            return [line]
        if bar:
            line.append(" ")
            line.append_text(self._bar(entity, bar))
        rate = "" if entity.records_per_second is None else f"{entity.records_per_second:,.0f}"
        left = "" if entity.eta_seconds is None else _clock(entity.eta_seconds)
        numbers = f" {pages_of(entity):>11} {entity.records:>10,} {rate:>7} {left:>7}"
        line.append(numbers, "dim" if entity.phase == "done" else "")
        note = note_of(entity, self.now)
        return [line, Text(f"      {note}", "yellow" if entity.phase not in BAD else "red")] if note else [line]

    def _bar(self, entity: EntityView, width: int) -> Text:
        start, lit = 0, int(width * min(entity.done_part or 0.0, 1.0))
        if entity.done_part is None and entity.phase in ACTIVE:
            start, lit = int(self.at * FRAMES_A_SECOND) % max(width - PULSE_WIDTH, 1), PULSE_WIDTH
        style = STYLES[entity.phase]
        return Text.assemble(("─" * start, "dim"), ("━" * lit, style), ("─" * (width - start - lit), "dim"))

    def _widths(self, run: RunView) -> tuple[int, int]:
        """Widths of the name and of the bar; 0: no bar, for lack of space."""
        name = min(max(len(one.name) for one in run.entities), NAME_WIDTH_MAX, max(self.width - NUMBERS_WIDTH, 8))
        bar = min(self.width - NUMBERS_WIDTH - name - 1, BAR_WIDTH_MAX)
        return name, bar if bar >= BAR_WIDTH_MIN else 0

    def _mark(self, phase: Phase) -> str:
        return SYMBOLS.get(phase) or self._frame()

    def _frame(self) -> str:
        return FRAMES[int(self.at * FRAMES_A_SECOND) % len(FRAMES)]


def pages_of(entity: EntityView) -> str:
    """`3/12`, or `3` of an unknown number."""
    return f"{entity.pages:,}" + (f"/{entity.pages_total:,}" if entity.pages_total is not None else "")


def note_of(entity: EntityView, now: int) -> str:
    """The entity's problem, if it has one, and the time of the next attempt."""
    parts = []
    if entity.rejected:
        parts.append(f"{entity.rejected:,} records rejected")
    if entity.resume_at:
        parts.append(f"tries again {age(entity.resume_at, now)}" if entity.resume_at > now else "tries again now")
    if entity.reason:
        parts.append(" ".join(entity.reason.split()))
    return "; ".join(parts)


def changes(before: RunView | None, after: RunView, now: int) -> Iterator[str]:
    """A line for each entity that started, met an error, or ended since `before`."""
    known = {one.name: one for one in before.entities} if before else {}
    for entity in sorted(after.entities, key=lambda one: (one.ended_at or one.started_at, one.name)):
        was = known.get(entity.name)
        if was is not None and (was.phase, was.reason) == (entity.phase, entity.reason):
            continue
        if line := _change(entity, was, now):
            yield f"{after.org} {entity.name} {line}"


def totals(run: RunView) -> str:
    """The run's status and figures in one line."""
    return (
        f"{run.org} {run.adapter} {run.type} {run.status}: {_counted(run.entities)}; {run.records:,} records on "
        f"{run.pages:,} pages, {run.records_per_second:,.0f} records/s, {span(int(run.elapsed_seconds))}"
    )


def _change(entity: EntityView, was: EntityView | None, now: int) -> str:
    match entity.phase:
        case "waiting":
            return ""
        case "running" | "finishing":
            return "started" if was is None or was.phase == "waiting" else ""
        case "done":
            took = span((entity.ended_at - entity.started_at) / 1000)
            rejected = f", {entity.rejected:,} rejected" if entity.rejected else ""
            return f"done: {entity.records:,} records on {entity.pages:,} pages in {took}{rejected}"
    return f"{entity.phase}: {note_of(entity, now)}"


def _counted(entities: Sequence[EntityView]) -> str:
    """`31 done, 8 waiting`."""
    counts = {phase: sum(one.phase == phase for one in entities) for phase in PHASES}
    return ", ".join(f"{count} {phase}" for phase, count in counts.items() if count)


def _fitted(name: str, width: int) -> str:
    return f"{name:<{width}}" if len(name) <= width else f"{name[: width - 1]}…"


def _clock(seconds: float) -> str:
    """`0:12:05`; from a day on `3 d 4 h`."""
    return span(seconds) if seconds >= DAY else str(timedelta(seconds=int(seconds)))
