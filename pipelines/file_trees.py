"""Copying files and removing folders, on disks and behind URLs."""

import os
import shutil
from contextlib import suppress
from pathlib import Path

from pipelines.storage import Location, RemotePath


def copy_file(source: Location, target: Location) -> None:
    """Make a file appear at a second path of the same disk or store, without moving its content.

    On a disk both are one file where the file system can, so that neither may be changed.

    Raises:
        OSError: It cannot be copied.
    """
    if isinstance(source, RemotePath) and isinstance(target, RemotePath):
        source.copy_to(target)
        return
    assert isinstance(source, Path)
    assert isinstance(target, Path)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:  # file systems of cameras and some networks know no links
        shutil.copyfile(source, target)
    sync_file(target)


def remove_tree(folder: Location) -> None:
    """Delete a folder with all that is in it, if it is there, as far as it can be deleted."""
    if isinstance(folder, RemotePath):
        with suppress(OSError):
            folder.remove_all()
    else:
        shutil.rmtree(folder, ignore_errors=True)


def sync_file(path: Location) -> None:
    """Bring a file to the disk; behind URLs it is where it is to be already.

    Raises:
        OSError: It cannot be written.
    """
    if isinstance(path, Path):
        with path.open("r+b") as file:  # Windows syncs nothing that may not be written
            os.fsync(file.fileno())
