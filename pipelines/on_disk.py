"""Sequences too long for memory."""

import pickle
import tempfile
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import repeat
from os import SEEK_END
from threading import Lock
from typing import IO, TypeVar, overload
from weakref import finalize

from pipelines.errors import BanetError

Item = TypeVar("Item")


class OnDisk(Sequence[Item]):
    """A sequence whose items are in a temporary file; eight bytes for each are in memory.

    Every look at an item reads it anew, so that it is another object each time.

    Args:
        items: In their order.

    Raises:
        BanetError: There is no room in the folder of temporary files.
    """

    def __init__(self, items: Iterable[Item] = ()) -> None:
        self._places = array("q")
        self._lock = Lock()
        with _explained():
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the sequence
        finalize(self, _close, self._file)
        self.put(0, items)

    def put(self, start: int, items: Iterable[Item]) -> None:
        """Write items from a position on. Those before it may follow."""
        for position, item in enumerate(items, start):
            self._places.extend(repeat(0, position + 1 - len(self._places)))
            with self._lock, _explained():
                self._places[position] = self._file.seek(0, SEEK_END)
                pickle.dump(item, self._file)
        with self._lock, _explained():
            self._file.flush()

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[Item]:
        return map(self._read, self._places)

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> list[Item]: ...
    def __getitem__(self, index: int | slice) -> Item | list[Item]:
        if isinstance(index, slice):
            return [*map(self._read, self._places[index])]
        return self._read(self._places[index])

    def _read(self, place: int) -> Item:
        with self._lock, _explained():
            self._file.seek(place)
            item: Item = pickle.load(self._file)  # noqa: S301 - nobody else writes there
            return item


def _close(file: IO[bytes]) -> None:
    with suppress(OSError):  # what found no room has been told
        file.close()


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BanetError(
            f"{tempfile.tempdir or 'TMPDIR'}: temporary files cannot be written or read "
            f"({error.strerror}); make room there, or name another folder in TMPDIR"
        ) from error
