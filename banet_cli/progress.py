"""Progress of a run: a live display on a terminal, a plain line now and then elsewhere."""

import logging
from collections.abc import Iterator
from time import monotonic
from typing import TYPE_CHECKING

from rich.console import Console as RichConsole
from rich.console import ConsoleOptions, RenderableType, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from banet_cli.durations import duration
from banet_cli.snapshot import Snapshot, StageCounter

if TYPE_CHECKING:  # the guard looks before anything is imported from there
    from pipelines.progress import ReadFigures

REFRESHES_PER_SECOND = 4
"""Often enough to look alive, seldom enough for a slow line."""

PLAIN_INTERVAL_SECONDS = 30

PLAIN_LINES = 20
"""Between two lines passes at least one in so many parts of the time so far: the log of a night
stays readable."""

MOST_COLUMNS = 100
"""Of a display; what is wider is hard to read."""

LEAST_BAR = 6
"""Columns; a shorter bar says nothing."""

SEPARATOR = ", "

logger = logging.getLogger(__name__)


class LiveProgress:
    """Draws a bar per stage, and below that of the present one what else there is to say."""

    def __init__(self, stderr: RichConsole) -> None:
        self._stderr = stderr
        self._live: Live | None = None
        self._stage: StageCounter | None = None
        self._is_finished = False

    def start(
        self, description: str, total: int | None, figures: "ReadFigures | None" = None
    ) -> None:
        """Draw a new bar, below what is there."""
        self.close()
        self._stage = StageCounter(description, total, figures)
        self._is_finished = False
        self._live = Live(
            console=self._stderr,
            get_renderable=self._draw,
            refresh_per_second=REFRESHES_PER_SECOND,
        )
        self._live.start(refresh=True)

    def advance(self, steps: int = 1, status: str = "") -> None:
        """Move the bar at its next turn; an empty status leaves the last one standing."""
        if self._stage is not None:
            self._stage.advance(steps, status)

    def finish(self) -> None:
        """Leave the bar as it is."""
        self._is_finished = True
        self.close()

    def close(self) -> None:
        """Give the terminal back, with what was drawn last."""
        if self._live is not None:
            self._live.stop()
        self._live = self._stage = None

    def _draw(self) -> RenderableType:
        if self._stage is None:
            return ""
        return _Display(self._stage.look(), is_finished=self._is_finished)


class _Display:
    """A bar with its count, and the parts of a snapshot in as many lines as they need."""

    def __init__(self, snapshot: Snapshot, *, is_finished: bool) -> None:
        self._snapshot = snapshot
        self._is_finished = is_finished

    def __rich_console__(self, console: RichConsole, options: ConsoleOptions) -> RenderResult:
        width = min(options.max_width, MOST_COLUMNS)
        yield self._bar_line(width)
        if not self._is_finished:
            yield from _lines(self._snapshot.parts(), width)

    def _bar_line(self, width: int) -> RenderableType:
        snapshot = self._snapshot
        name = Text(snapshot.description, style="bold")
        count = Text(f"{snapshot.count}{SEPARATOR}{duration(snapshot.seconds)}")
        # Room for what the count may grow to, so that the bar keeps its length.
        room = len(f"{snapshot.total or 0:,}") * 2 + len(" of , 100%, 59 min 59 s")
        bar_width = width - name.cell_len - room - 2
        if not snapshot.total or bar_width < LEAST_BAR:
            line = Text.assemble(name, " ", count)
            line.truncate(width, overflow="ellipsis")
            return line
        line_with_bar = Table.grid(padding=(0, 1))
        bar = ProgressBar(
            snapshot.total,
            snapshot.done,
            width=bar_width,
            style="bright_black",
            complete_style="cyan",
            finished_style="green",
        )
        line_with_bar.add_row(name, bar, count)
        return line_with_bar


class PlainProgress:
    """Logs a line now and then, the longer it takes the more seldom, and one at the end.

    Args:
        interval: Least seconds between the lines.
    """

    def __init__(self, *, interval: float = PLAIN_INTERVAL_SECONDS) -> None:
        self._interval = interval
        self._stage: StageCounter | None = None
        self._started = self._last_line = 0.0

    def start(
        self, description: str, total: int | None, figures: "ReadFigures | None" = None
    ) -> None:
        """Begin to count."""
        self._stage = StageCounter(description, total, figures)
        self._started = self._last_line = monotonic()

    def advance(self, steps: int = 1, status: str = "") -> None:
        """Count, and log a line if the last one is long ago."""
        if self._stage is None:
            return
        self._stage.advance(steps, status)
        now = monotonic()
        if now - self._last_line >= max(self._interval, (now - self._started) / PLAIN_LINES):
            self._last_line = now
            _log(self._stage.look())

    def finish(self) -> None:
        """Log how it ended."""
        if self._stage is not None:
            _log(self._stage.look())
        self._stage = None

    def close(self) -> None:
        """Nothing was opened."""


def _lines(parts: Iterator[Text], width: int) -> Iterator[Text]:
    """Yield the parts in lines of at most `width` columns, each part whole where it fits."""
    line = Text()
    for part in parts:
        joined = Text(SEPARATOR).join((line, part)) if line else part
        if line and joined.cell_len > width:
            yield line
            joined = part
        joined.truncate(width, overflow="ellipsis")
        line = joined
    if line:
        yield line


def _log(snapshot: Snapshot) -> None:
    rest = (part.plain for part in snapshot.parts())
    logger.info(
        "%s: %s",
        snapshot.description,
        SEPARATOR.join((snapshot.count, *rest)),
        extra={"progress": snapshot.as_json()},
    )
