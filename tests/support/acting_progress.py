"""Progress of a run that does something to the run's surroundings in the middle of it."""

from collections.abc import Callable


class At:
    """Does something once, when some photos are done."""

    def __init__(self, action: Callable[[], object], *, done: int = 1) -> None:
        self._action = action
        self._left = done

    def start(self, *_stage: object) -> None:
        """Begin."""

    def advance(self, steps: int = 1, _status: str = "") -> None:
        was_left, self._left = self._left, self._left - steps
        if was_left > 0 >= self._left:
            self._action()

    def finish(self) -> None:
        """End."""


class Acting:
    """Does something when the work begins, or at every step of it."""

    def __init__(
        self, *, first: Callable[[], object] = list, step: Callable[[], object] = list
    ) -> None:
        self._first = first
        self._step = step

    def start(self, *_stage: object) -> None:
        self._first()

    def advance(self, _steps: int = 1, _status: str = "") -> None:
        self._step()

    def finish(self) -> None:
        """End."""
