"""Tasks for pools of processes, which import them by name."""

import os
import signal
import time
import warnings
from collections.abc import Callable
from pathlib import Path

from pipelines.errors import BanetError


def square(number: int) -> int:
    return number * number


def same(text: str) -> str:
    return text


def unsendable(_: int) -> Callable[[], None]:
    return lambda: None


def process_of(_: int) -> int:
    time.sleep(0.05)  # so that no process does all of it
    return os.getpid()


def fail_at_three(number: int) -> int:
    if number == 3:
        raise BanetError("three")
    return number


def die_at_three(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def die_once(marker: Path) -> str:
    """Die, unless a file is there, which is created first."""
    if not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return marker.name


def sleep(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def survive_interrupts(_: int) -> int:
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(os.getpid(), number)
    return os.getpid()


def warn(_: int) -> None:
    warnings.warn("of some package", stacklevel=1)


class UnsendableError(Exception):
    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.hold = lambda: None


class UnreadableError(Exception):
    def __init__(self, what: str, why: str) -> None:
        super().__init__(f"{what} {why}")


def raise_unsendable(_: int) -> None:
    raise UnsendableError("disk full")


def raise_unreadable(_: int) -> None:
    raise UnreadableError("disk", "full")


def leave(code: int) -> None:
    raise SystemExit(code + 3)


def stop_iteration(_: int) -> None:
    raise StopIteration
