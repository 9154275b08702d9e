"""Letting an interrupt wait until it does no harm."""

import math
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


def ignore_interrupts() -> None:
    """Let SIGINT and SIGTERM do nothing in this process, which another one stops by other means."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def interrupts_deferred(
    *, patience: float = math.inf, at_first: Callable[[], None] | None = None
) -> Iterator[list[int]]:
    """Hold back SIGINT and SIGTERM during a `with` block; what they do comes at its end.

    In a thread other than the main one signals never arrive, and nothing happens.

    Args:
        patience: Seconds after the first of them from which on another one is not held back.
        at_first: Called when the first of them arrives.

    Yields:
        The numbers of the signals that arrived so far.
    """
    received: list[int] = []
    first = math.inf
    if threading.current_thread() is not threading.main_thread():
        yield received
        return

    def remember(number: int, _frame: FrameType | None) -> None:
        nonlocal first
        if not received and at_first is not None:
            at_first()
        first = min(first, monotonic())
        if monotonic() - first > patience:
            signal.signal(number, earlier[signal.Signals(number)])
            signal.raise_signal(number)
        received.append(number)

    earlier = {number: signal.signal(number, remember) for number in SIGNALS}
    try:
        yield received
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
    if received:
        signal.raise_signal(received[0])
