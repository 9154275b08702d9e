"""What there is to say of a stage of a run while it goes on, in words and as fields."""

from collections.abc import Iterator
from dataclasses import dataclass
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING

from rich.text import Text

from banet_cli.durations import duration
from banet_cli.pace import Pace

if TYPE_CHECKING:  # the guard looks before anything is imported from there
    from pipelines.progress import ReadFigures, RunFigures

PRESENT_SECONDS = 10.0
"""How far back the rates reach that are shown."""

OUTLOOK_SECONDS = 120.0
"""How far back the rate reaches that the time left is worked out from: it should not jump."""


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """A stage at a moment.

    Attributes:
        description: What is done.
        done: Steps so far.
        total: Steps in all; None if nobody knows.
        seconds: Since the stage began.
        per_second: Steps at present; None as long as nothing is done.
        seconds_left: None if nobody can tell.
        status: Short text of the pipeline, such as the loss.
        figures: Of a run over photos; None for other stages.
        cpu: Share of the cores that the stages of photos keep busy at present, 0 to 1.
    """

    description: str
    done: int
    total: int | None
    seconds: float
    per_second: float | None
    seconds_left: float | None
    status: str
    figures: "RunFigures | None"
    cpu: float | None

    @property
    def count(self) -> str:
        """Return how much is done."""
        if self.total is None:
            return f"{self.done:,} done"
        count = f"{self.done:,} of {self.total:,}"
        return f"{count}, {self.done / self.total:.0%}" if self.total else count

    def parts(self) -> Iterator[Text]:
        """Yield the rest, the most important first."""
        figures = self.figures
        if self.per_second is not None:
            unit = " per second" if figures is None else " photos/s"
            yield Text(f"{_three_digits(self.per_second)}{unit}")
        if self.seconds_left:
            yield Text(f"{duration(_coarse(self.seconds_left))} left")
        if figures is not None:
            if figures.waiting is not None:
                yield Text(f"{figures.waiting:,} waiting")
            yield Text(f"{figures.failed:,} failed", style="bold red" if figures.failed else "")
            yield Text(f"{figures.empty:,} empty", style="yellow" if figures.empty else "")
            if self.cpu is not None:
                yield Text(f"CPU {self.cpu:.0%}")
            if figures.gpu is not None:
                yield Text(f"GPU {figures.gpu:.0%}")
            if figures.memory is not None and figures.memory_limit is not None:
                used, limit = figures.memory / 1e9, figures.memory_limit / 1e9
                yield Text(f"memory {used:.1f} of {limit:.1f} GB")
        if self.status:
            yield Text(self.status)

    def as_json(self) -> dict[str, object]:
        """Return the same as fields; what is not known is left out."""
        figures = self.figures
        fields: dict[str, object] = {
            "stage": self.description,
            "done": self.done,
            "total": self.total,
            "seconds": round(self.seconds, 1),
            "per_second": _rounded(self.per_second, 3),
            "seconds_left": _rounded(self.seconds_left, 0),
            "status": self.status or None,
            "cpu": _rounded(self.cpu, 3),
        }
        if figures is not None:
            fields |= {
                "failed": figures.failed,
                "empty": figures.empty,
                "waiting": figures.waiting,
                "gpu": figures.gpu,
                "memory_bytes": figures.memory,
                "memory_limit_bytes": figures.memory_limit,
            }
        return {key: value for key, value in fields.items() if value is not None}


class StageCounter:
    """Counts the steps of a stage; a display may look at it from another thread."""

    def __init__(self, description: str, total: int | None, figures: "ReadFigures | None") -> None:
        now = monotonic()
        self._description = description
        self._total = total
        self._figures = figures
        self._done = 0
        self._status = ""
        self._busy_seconds = 0.0
        self._started = now
        self._present = Pace(PRESENT_SECONDS, now=now)
        self._outlook = Pace(OUTLOOK_SECONDS, now=now)
        self._busy = Pace(PRESENT_SECONDS, now=now)
        self._lock = Lock()

    def advance(self, steps: int, status: str) -> None:
        """Count steps; an empty status leaves the last one standing."""
        now = monotonic()
        with self._lock:
            self._done += steps
            self._status = status or self._status
            self._present.add(steps, now=now)
            self._outlook.add(steps, now=now)

    def look(self) -> Snapshot:
        """Return how the stage stands."""
        figures = None if self._figures is None else self._figures()
        with self._lock:
            now = monotonic()
            return Snapshot(
                description=self._description,
                done=self._done,
                total=self._total,
                seconds=now - self._started,
                per_second=self._present.rate(now=now),
                seconds_left=self._seconds_left(now),
                status=self._status,
                figures=figures,
                cpu=None if figures is None else self._cpu(figures, now),
            )

    def _seconds_left(self, now: float) -> float | None:
        rate = self._outlook.rate(now=now)
        if self._total is None or not rate:
            return None
        return max(0, self._total - self._done) / rate

    def _cpu(self, figures: "RunFigures", now: float) -> float | None:
        if added := figures.busy_seconds - self._busy_seconds:
            self._busy.add(added, now=now)
            self._busy_seconds = figures.busy_seconds
        rate = self._busy.rate(now=now)
        return None if rate is None else min(1.0, rate / figures.cores)


def _three_digits(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.1f}" if rate >= 1 else f"{rate:.2f}"  # noqa: PLR2004


def _coarse(seconds: float) -> float:
    """Return a time left as exact as it deserves, so that its last digits stand still."""
    step = 60 if seconds > 600 else 5 if seconds > 60 else 1  # noqa: PLR2004 - ten minutes, one
    return max(1, round(seconds / step)) * step


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
