"""Walking through folders of this machine, links included."""

import os
from collections.abc import Iterator
from pathlib import Path

from pipelines.errors import InputError


def walk(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    """Yield a folder and those below with the names of their files.

    Hidden folders are left out. Each real folder comes once, so that links cannot loop. Those
    behind links come last.

    Raises:
        InputError: A folder cannot be read.
    """
    visited: set[tuple[int, int]] = set()
    pending = [folder]
    while pending:
        links: list[Path] = []
        stack = pending[::-1]
        while stack:  # os.walk recurses before Python 3.12, and folders may be deeper than that
            parent = stack.pop()
            try:
                status = parent.stat()
                identity = status.st_dev, status.st_ino
                if identity in visited:
                    continue
                folders, files = _names_in(parent)
            except OSError as error:
                raise _unreadable(error) from error
            visited.add(identity)
            paths = [parent / child for child in folders if not child.startswith(".")]
            links.extend(path for path in paths if path.is_symlink())
            stack.extend(path for path in reversed(paths) if not path.is_symlink())
            yield parent, files
        pending = links


def _names_in(folder: Path) -> tuple[list[str], list[str]]:
    """Return the names of the folders, sorted, and of the files in a folder."""
    with os.scandir(folder) as entries:
        is_folder = {entry.name: _is_folder(entry) for entry in entries}
    return (
        sorted(name for name, it_is in is_folder.items() if it_is),
        [name for name, it_is in is_folder.items() if not it_is],
    )


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link in a circle
        return False


def _unreadable(error: OSError) -> InputError:
    return InputError(
        f"{error.filename}: this folder cannot be read ({error.strerror}); mend its permissions "
        "or leave it out"
    )
