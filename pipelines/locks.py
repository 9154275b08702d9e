"""Keeping two runs from writing to one place at the same time."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from pipelines.errors import LockedError


@contextmanager
def exclusive(lock_file: Path, *, place: Path, wait: float = 0) -> Iterator[None]:
    """Hold a lock for the time of a `with` block. The system frees it when its holder dies.

    Args:
        lock_file: Where the lock lies; its folder is created.
        place: What it protects, named in the error.
        wait: Seconds to wait for another run to let go of it.

    Raises:
        LockedError: Another run holds it.
    """
    lock_file.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(lock_file, timeout=wait)
    try:
        lock.acquire()
    except Timeout as error:
        raise LockedError(
            f"{place}: another run of banet is writing there; wait for it or choose another place"
        ) from error
    try:
        yield
    finally:
        lock.release()


def is_held(lock_file: Path) -> bool:
    """Tell whether another run holds a lock, which is not created for the question."""
    if not lock_file.exists():
        return False
    try:
        with FileLock(lock_file, timeout=0):
            return False
    except Timeout:
        return True
