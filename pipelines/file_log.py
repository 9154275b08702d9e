"""A file on a disk that lines are appended to: each of them whole, or not at all."""

import os
from contextlib import suppress
from pathlib import Path


class FileLog:
    """Appends lines; for one process at a time.

    Args:
        path: Of the file, which need not be there. A last line that was torn by a power cut is
            ended, so that the next one is whole.

    Raises:
        OSError: It cannot be opened, or written to.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._file = path.open("a+b", buffering=0)
        if self._ends_in_a_torn_line():
            self.write(b"\n")

    def write(self, line: bytes) -> int:
        """Write a line, or nothing of it, and return where it begins.

        Raises:
            FileNotFoundError: The file was deleted.
            OSError: It cannot be written to.
        """
        status = os.fstat(self._file.fileno())
        if status.st_nlink == 0:
            raise FileNotFoundError(str(self._path))
        rest = memoryview(line)
        try:
            while rest:  # on a disk with little space left a part is written before the error comes
                rest = rest[self._file.write(rest) :]
        except OSError:
            with suppress(OSError):
                self._file.truncate(status.st_size)
            raise
        return status.st_size

    def sync(self) -> None:
        """Wait until the lines are on the disk.

        Raises:
            OSError: They cannot be brought there.
        """
        os.fsync(self._file.fileno())

    def check(self) -> None:
        """Make sure that the path still leads to the file.

        Raises:
            FileNotFoundError: It was deleted or replaced.
        """
        if not os.path.samestat(self._path.stat(), os.fstat(self._file.fileno())):
            raise FileNotFoundError(str(self._path))

    def close(self) -> None:
        """Write no more."""
        self._file.close()

    def _ends_in_a_torn_line(self) -> bool:
        if self._file.seek(0, os.SEEK_END) == 0:
            return False
        self._file.seek(-1, os.SEEK_END)
        return self._file.read(1) != b"\n"
