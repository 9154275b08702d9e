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
        self.total = total
        self._free = total
        self._entrance = threading.Lock()
        self._changed = threading.Condition()

    @property
    def held(self) -> int:
        """Return what threads hold at present, all together."""
        return self.total - self._free

    @contextmanager
    def taken(self, amount: int) -> Iterator["Share"]:
        """Hold a part for the time of a `with` block; who asks for more than all gets all."""
        share = Share(self, min(amount, self.total))
        # One at a time may wait, so that a stream of small shares cannot keep a large one out.
        with self._entrance, self._changed:
            self._changed.wait_for(lambda: self._free >= share.amount)
            self._free -= share.amount
        try:
            yield share
        finally:
            with self._changed:
                self._free += share.amount
                self._changed.notify_all()

    def grow(self, share: "Share", amount: int) -> bool:
        """Do what `Share.grow` says."""
        more = min(amount, self.total) - share.amount
        with self._changed:
            if more > self._free:
                return False
            if more > 0:
                self._free -= more
                share.amount += more
            return True

    def shrink(self, share: "Share", amount: int) -> None:
        """Do what `Share.shrink` says."""
        with self._changed:
            less = max(0, share.amount - amount)
            share.amount -= less
            self._free += less
            self._changed.notify_all()


class Share:
    """A part of a budget that a thread holds.

    Attributes:
        amount: Of the budget.
    """

    def __init__(self, budget: Budget, amount: int) -> None:
        self.amount = amount
        self._budget = budget

    def grow(self, amount: int) -> bool:
        """Make this part as large as `amount` if that can be done at once, and return whether.

        Who waited while holding something could wait for ever, as others do the same.
        """
        return self._budget.grow(self, amount)

    def shrink(self, amount: int) -> None:
        """Give back all of this part but `amount`, if that is less."""
        self._budget.shrink(self, amount)
