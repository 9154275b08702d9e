"""Whole files: read so that no half of a photo passes for one, written so that none is seen."""

# Paths are text here, see FilePath.
# ruff: noqa: PTH105, PTH108, PTH116, PTH118, PTH120, PTH123

import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from pipelines.errors import MissingFileError, OutOfReachError, PhotoError
from pipelines.images import MAX_PIXELS
from pipelines.storage import FilePath, Location, RemotePath

MAX_FILE_BYTES = 8 * MAX_PIXELS
"""Larger files are refused unread. So many hold the largest photo with four channels of 16 bits."""


def read_bytes(path: Location | FilePath) -> bytes:
    """Read a whole file.

    Raises:
        MissingFileError: It does not exist.
        PhotoError: It may not be read, is no regular file, is empty, is larger than
            `MAX_FILE_BYTES`, or changed meanwhile, so that it may be half of this and half of that.
    """
    try:
        # Whoever reads behind URLs knows the size from a listing.
        content = path.read_bytes() if isinstance(path, RemotePath) else _read_file(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MissingFileError("no such file") from error
    except OSError as error:
        raise OutOfReachError(f"cannot be read: {error.strerror or error}") from error
    if not content:
        raise PhotoError("empty file")
    return content


def refuse_large_file(size: int) -> None:
    """Make sure that a file has no more than `MAX_FILE_BYTES`.

    Raises:
        PhotoError: It has.
    """
    if size > MAX_FILE_BYTES:
        raise PhotoError(f"too large: {size:,} bytes, the limit is {MAX_FILE_BYTES:,}")


def write_atomically(path: Location | FilePath, content: bytes | Iterable[bytes]) -> None:
    """Write a file so that its path holds, at any moment, the old content or all of the new one.

    Args:
        path: Of the file.
        content: Whole, or in parts, of which only one at a time is in memory then on this machine.

    Raises:
        OSError: It cannot be written; the error names `path`.
    """
    parts = (content,) if isinstance(content, bytes) else content
    if isinstance(path, RemotePath):
        path.write_bytes(b"".join(parts))
        return
    temporary = os.path.join(os.path.dirname(path), f".{uuid4().hex}.part")
    try:
        with open(temporary, "wb") as file:
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:  # it names the temporary file, which means nothing to anybody
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        with suppress(OSError):
            os.unlink(temporary)


def remove_file(path: FilePath) -> None:
    """Delete a file.

    Raises:
        OSError: It cannot be deleted, or is not there.
    """
    if isinstance(path, RemotePath):
        path.unlink()
    else:
        os.unlink(path)


def _read_file(path: Path | str) -> bytes:
    try:
        mode = os.stat(path).st_mode
    except ValueError as error:  # it comes from a list, not from a folder
        raise PhotoError(f"no file can have this name ({error})") from error
    if not stat.S_ISREG(mode):
        raise PhotoError("not a regular file")
    with open(path, "rb", opener=_open_without_waiting) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):  # since a moment ago
            raise PhotoError("not a regular file")
        refuse_large_file(status.st_size)
        content = file.read()
        after = os.fstat(file.fileno())
    if (after.st_size, after.st_mtime_ns) != (len(content), status.st_mtime_ns):
        raise PhotoError("changed while it was being read; the next run takes it as it is then")
    return content


def _open_without_waiting(path: str, flags: int) -> int:
    """Open what may have become a named pipe, for which nobody may ever come to write."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
