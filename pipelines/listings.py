"""What is in folders, found out with few requests where they are behind URLs."""

import os
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path

from pipelines.storage import Location, status_of


def file_finder(folder: Location, parts: Iterable[str]) -> Callable[[str], bool]:
    """Return what tells whether there is a file, named by its path relative to a folder.

    Behind a URL it lists some parts of the folder, once it is asked, instead of going there for
    each file.

    Args:
        folder: That the names are relative to.
        parts: Folders in it that the files lie in.
    """
    if isinstance(folder, Path):
        return lambda name: os.path.isfile(f"{folder}/{name}")  # noqa: PTH113 # see FilePath

    @lru_cache(maxsize=1)
    def listed() -> frozenset[str]:
        return frozenset(
            f"{part}/{name}" for part in parts for name, _ in (folder / part).files_if_any()
        )

    return lambda name: name in listed()


def newest_first(folder: Location, pattern: str) -> list[tuple[Location, int | None]]:
    """Return the files directly in a folder whose names match, the newest first.

    Returns:
        Each with the time of its last change in nanoseconds since 1970, which not every store
        tells: None. Those come first.

    Raises:
        OSError: The folder cannot be listed. One that is not there is empty.
    """
    found: list[tuple[Location, int | None]] = []
    if isinstance(folder, Path):
        for path in folder.glob(pattern):
            try:
                found.append((path, status_of(path).mtime_ns))
            except FileNotFoundError:  # deleted since it was listed
                continue
    else:
        found += [(path, status.mtime_ns) for path, status in folder.glob_with_status(pattern)]
    return sorted(found, key=_newest_first)


def _newest_first(entry: tuple[Location, int | None]) -> float:
    _, time = entry
    return -float("inf") if time is None else -time
