"""How a pipeline tells the outside how far it is. The terminal implements it, pipelines call it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, kw_only=True)
class RunFigures:
    """How a run over photos stands at a moment, beside how many of them are done.

    Attributes:
        failed: Photos that failed so far.
        empty: Photos so far that show nobody.
        waiting: Photos that were found and are still to be done; None if the total says it.
        busy_seconds: CPU seconds that the stages of all photos took so far.
        cores: That the run may use.
        memory: Bytes of memory that this process has; None if others do the work.
        memory_limit: Bytes of memory that it could have; None if others do the work.
        gpu: How busy the GPU is, 0 to 1; None without one, or if nobody can tell.
    """

    failed: int
    empty: int
    waiting: int | None
    busy_seconds: float
    cores: int
    memory: int | None
    memory_limit: int | None
    gpu: float | None


ReadFigures = Callable[[], RunFigures]
"""Returns how a run stands; may be called from any thread, a few times per second."""


class Progress(Protocol):
    """Receives the progress of one run."""

    def start(
        self, description: str, total: int | None, figures: ReadFigures | None = None
    ) -> None:
        """Begin a stage of `total` steps; None if nobody knows how many.

        Args:
            description: What is done.
            total: Steps in all.
            figures: Tells more, if the steps are photos of a run of `banet segment`.
        """

    def advance(self, steps: int = 1, status: str = "") -> None:
        """Report that `steps` more are done; `status` is a short text such as the loss."""

    def finish(self) -> None:
        """End the stage."""


class SilentProgress:
    """Reports to nobody; the default of every pipeline."""

    def start(
        self, description: str, total: int | None, figures: ReadFigures | None = None
    ) -> None:
        """Ignore the beginning of a stage."""

    def advance(self, steps: int = 1, status: str = "") -> None:
        """Ignore the steps."""

    def finish(self) -> None:
        """Ignore the end of a stage."""
