"""What the lines of a growing file say, by their keys. Only the places of lines are in memory."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

Value = TypeVar("Value")


class LinesOnDisk(Mapping[str, Value]):
    """A mapping whose values are read from a file when they are asked for.

    Args:
        path: Of the file, which may be appended to.
        key_of: Returns the key of a line.
        parse: Returns the value of a line.

    Raises:
        OSError: It cannot be opened.
    """

    def __init__(
        self, path: Path, *, key_of: Callable[[bytes], str], parse: Callable[[bytes], Value]
    ) -> None:
        self._places: dict[str, int] = {}
        self._parse = parse
        self._file = path.open("rb")
        place = 0
        for line in self._file:
            self._places[key_of(line)] = place
            place += len(line)

    def __getitem__(self, key: str) -> Value:
        self._file.seek(self._places[key])
        return self._parse(self._file.readline())

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def put(self, key: str, place: int) -> None:
        """Take another line, which has been appended, for that of a key."""
        self._places[key] = place

    def close(self) -> None:
        """Read no more."""
        self._file.close()
