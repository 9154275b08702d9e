"""How fast a run is at present: smooth enough to be read, quick enough to show a change."""

import math

LEAST_SECONDS = 0.25
"""What comes in closer succession is taken together."""


class Pace:
    """Rate of what arrives in lumps, such as the photos of a task, weighted towards the present.

    What comes first counts only until there is more: it took the start-up with it.

    Args:
        seconds: A lump of so long ago counts 1/e of one that arrives now.
        now: The present time, in seconds.
    """

    def __init__(self, seconds: float, *, now: float) -> None:
        self._seconds = seconds
        self._last = now
        self._pending = self._amount = self._time = 0.0
        self._samples = 0

    def add(self, amount: float, *, now: float) -> None:
        """Count what has arrived."""
        self._pending += amount
        elapsed = now - self._last
        if elapsed < LEAST_SECONDS:
            return
        kept = math.exp(-elapsed / self._seconds) if self._samples > 1 else 0.0
        weight = self._seconds * -math.expm1(-elapsed / self._seconds)
        self._amount = self._amount * kept + self._pending / elapsed * weight
        self._time = self._time * kept + weight
        self._pending, self._last = 0.0, now
        self._samples += 1

    def rate(self, *, now: float) -> float | None:
        """Return the amount per second; None if nothing has arrived yet.

        It sinks once nothing has arrived for longer than `seconds`.
        """
        if not self._samples:
            elapsed = now - self._last
            return self._pending / elapsed if self._pending and elapsed > LEAST_SECONDS else None
        silence = max(0.0, now - self._last - self._seconds)
        return self._amount / (self._time + silence)
