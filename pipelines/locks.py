"""Keeping two runs from writing to one place at the same time."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from filelock import FileLock, Timeout

from pipelines.errors import LockedError
from pipelines.leases import is_leased, leased
from pipelines.storage import Location, RemotePath


@contextmanager
def exclusive(
    lock_file: Location, *, place: Location, wait: float = 0
) -> Iterator[Callable[[], None]]:
    """Hold a lock for the time of a `with` block. The system frees it when its holder dies.

    Behind a URL it is a lease, see `leased`.

    Args:
        lock_file: Where the lock lies; its folder is created.
        place: What it protects, named in the error.
        wait: Seconds to wait for another run to let go of it.

    Yields:
        What makes sure that the lock is still held, which is certain but for leases.

    Raises:
        LockedError: Another run holds it.
        OSError: It cannot be created.
    """
    if isinstance(lock_file, RemotePath):
        with leased(lock_file, place=str(place), wait=wait) as check:
            yield check
        return
    lock_file.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(lock_file, timeout=wait)
    try:
        lock.acquire()
    except Timeout as error:
        raise LockedError(
            f"{place}: another run of banet is writing there; wait for it or choose another place"
        ) from error
    try:
        yield _still_held
    finally:
        lock.release()


def is_held(lock_file: Location) -> bool:
    """Tell whether another run holds a lock, which is not created for the question."""
    if isinstance(lock_file, RemotePath):
        return is_leased(lock_file)
    if not lock_file.exists():
        return False
    try:
        with FileLock(lock_file, timeout=0):
            return False
    except Timeout:
        return True


def _still_held() -> None:
    """Do nothing: the system takes no lock away from a process that lives."""
