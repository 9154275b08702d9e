"""A bound on what the threads of a process hold in memory together."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Budget:
    """An amount that threads take parts of and give back; who asks for too much waits.

    Args:
        total: What there is, in any unit.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._free = total
        self._entrance = threading.Lock()
        self._changed = threading.Condition()

    @contextmanager
    def taken(self, amount: int) -> Iterator[None]:
        """Hold a part for the time of a `with` block; who asks for more than all gets all."""
        share = min(amount, self._total)
        # One at a time may wait, so that a stream of small shares cannot keep a large one out.
        with self._entrance, self._changed:
            self._changed.wait_for(lambda: self._free >= share)
            self._free -= share
        try:
            yield
        finally:
            with self._changed:
                self._free += share
                self._changed.notify_all()
