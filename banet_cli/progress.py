"""Progress of a run: a live bar on a terminal, a plain line now and then elsewhere."""

import logging
from datetime import timedelta
from time import monotonic

from rich.console import Console as RichConsole
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

PLAIN_INTERVAL_SECONDS = 10

PLAIN_LINES = 20
"""Between two lines passes at least one in so many parts of the time so far: the log of a night
stays readable."""

logger = logging.getLogger(__name__)


class LiveProgress:
    """Draws a bar per stage."""

    def __init__(self, stderr: RichConsole) -> None:
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[status]}", markup=False),
            console=stderr,
        )
        self._task: TaskID | None = None

    def start(self, description: str, total: int | None) -> None:
        """Draw a new bar."""
        self._progress.start()
        self._task = self._progress.add_task(description, total=total, status="")

    def advance(self, steps: int = 1, status: str = "") -> None:
        """Move the bar; an empty status leaves the last one standing."""
        if self._task is None:
            return
        self._progress.advance(self._task, steps)
        if status:
            self._progress.update(self._task, status=status)

    def finish(self) -> None:
        """Leave the bar as it is; the next stage draws its own below."""
        self._task = None

    def close(self) -> None:
        """Give the terminal back."""
        self._progress.stop()


class PlainProgress:
    """Logs a line now and then, the longer it takes the more seldom, and one at the end.

    Args:
        interval: Least seconds between the lines.
    """

    def __init__(self, *, interval: float = PLAIN_INTERVAL_SECONDS) -> None:
        self._interval = interval
        self._description = ""
        self._total: int | None = None
        self._done = 0
        self._status = ""
        self._started = self._last_line = 0.0

    def start(self, description: str, total: int | None) -> None:
        """Begin to count."""
        self._description, self._total = description, total
        self._done, self._status = 0, ""
        self._started = self._last_line = monotonic()

    def advance(self, steps: int = 1, status: str = "") -> None:
        """Count, and log a line if the last one is long ago."""
        self._done += steps
        self._status = status or self._status
        now = monotonic()
        if now - self._last_line >= max(self._interval, (now - self._started) / PLAIN_LINES):
            self._log()

    def finish(self) -> None:
        """Log how it ended."""
        self._log()

    def close(self) -> None:
        """Nothing was opened."""

    def _log(self) -> None:
        self._last_line = monotonic()
        seconds = self._last_line - self._started
        parts = [f"{self._done}" if self._total is None else f"{self._done} of {self._total}"]
        if self._total:
            parts.append(f"{self._done / self._total:.0%}")
        if seconds > 0:
            parts.append(f"{self._done / seconds:.1f} per second")
        if self._total and 0 < self._done < self._total:
            left = round(seconds / self._done * (self._total - self._done))
            parts.append(f"{timedelta(seconds=left)} left")
        parts += [self._status] if self._status else []
        logger.info("%s: %s", self._description, ", ".join(parts))
