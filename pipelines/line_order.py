"""The newest line of every key of a file, in order, without having the file in memory."""

from array import array
from collections.abc import Callable, Iterable, Iterator
from heapq import merge
from itertools import groupby, islice
from operator import itemgetter
from typing import BinaryIO

LINES_AT_ONCE = 10_000
"""That are put in order in memory; what is kept of each is 8 bytes until the file is read again."""


def newest_lines(
    file: BinaryIO,
    places: Iterable[tuple[str, int]],
    *,
    key_of: Callable[[bytes], str],
    older: Iterable[tuple[str, bytes]] = (),
) -> Iterator[tuple[str, bytes]]:
    """Yield the newest line of every key with its key, sorted by the keys.

    Args:
        file: With the lines; it is read twice.
        places: Keys of the lines and where each begins, in the order of the file. Others may read
            the file meanwhile, in order to yield them.
        key_of: Returns the key of such a line.
        older: Keys and lines from elsewhere, sorted, one each; any line in the file is newer.
    """
    parts = list(_sorted_parts(iter(places)))

    def lines_at(part: Iterable[int]) -> Iterator[tuple[str, bytes]]:
        for place in part:
            file.seek(place)
            line = file.readline()
            yield key_of(line), line

    # Of equal keys, those of earlier parts come first.
    merged = merge(older, *map(lines_at, parts), key=itemgetter(0))
    for _, lines in groupby(merged, key=itemgetter(0)):
        *_, newest = lines
        yield newest


def _sorted_parts(places: Iterator[tuple[str, int]]) -> Iterator["array[int]"]:
    """Yield the places of some lines at once in the order of their keys, the newest of each."""
    while part := dict(islice(places, LINES_AT_ONCE)):
        yield array("Q", (part[key] for key in sorted(part)))
