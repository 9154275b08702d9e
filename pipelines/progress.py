"""How a pipeline tells the outside how far it is. The terminal implements it, pipelines call it."""

from typing import Protocol


class Progress(Protocol):
    """Receives the progress of one run."""

    def start(self, description: str, total: int | None) -> None:
        """Begin a stage of `total` steps; None if nobody knows how many."""

    def advance(self, steps: int = 1, status: str = "") -> None:
        """Report that `steps` more are done; `status` is a short text such as the loss."""

    def finish(self) -> None:
        """End the stage."""


class SilentProgress:
    """Reports to nobody; the default of every pipeline."""

    def start(self, description: str, total: int | None) -> None:
        """Ignore the beginning of a stage."""

    def advance(self, steps: int = 1, status: str = "") -> None:
        """Ignore the steps."""

    def finish(self) -> None:
        """Ignore the end of a stage."""
