"""Letting an interrupt wait until it does no harm."""

import math
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)

SAME_INTERRUPT_SECONDS = 1.0
"""Interrupts so close together are one: `timeout`, for instance, sends each signal twice."""

_Handler = Callable[[int, FrameType | None], Any] | int | signal.Handlers | None
"""What `signal.getsignal` returns."""


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
    earlier = {number: signal.getsignal(number) for number in SIGNALS}
    is_held = True

    def remember(number: int, frame: FrameType | None) -> None:
        nonlocal first
        first = min(first, monotonic())
        if not is_held or monotonic() - first > patience:
            _act(earlier[signal.Signals(number)], number, frame)
            return
        received.append(number)
        if len(received) == 1 and at_first is not None:
            at_first()

    try:
        for number in SIGNALS:
            signal.signal(number, remember)
        yield received
    finally:
        # From here on what is still installed does no harm, should an interrupt come in between.
        is_held = False
        for number, handler in earlier.items():
            signal.signal(number, handler)
        if received:
            signal.raise_signal(received[0])


def _act(handler: _Handler, number: int, frame: FrameType | None) -> None:
    if callable(handler):
        handler(number, frame)
    else:
        signal.signal(number, handler)
        signal.raise_signal(number)
