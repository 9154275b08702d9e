"""How much memory the photos in work may take together, so that the whole process keeps a limit."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier

import psutil
import torch

from pipelines.allocator import give_freed_memory_back
from pipelines.budget import Budget, Share
from pipelines.errors import ConfigError, PhotoError
from pipelines.memory_amounts import MEBIBYTE, format_memory
from pipelines.peak_memory import forget_process_peak, process_peak

MARGIN = 96 * MEBIBYTE
"""Kept free for what nobody counts: the ledger, kernels for further shapes, gaps between blocks.

`benchmarks/memory.py` says how much of it long runs over mixed photos take.
"""

LEAST_FOR_PHOTOS = 64 * MEBIBYTE
"""With less than this hardly a photo could be done: 3 megapixels take about so much."""


class ProcessMemory:
    """What the photos of this process share.

    Args:
        budget: In bytes.
        limit: Of the resident memory of the process; None if nobody set one. A photo that needs
            more than the whole budget is then done alone, and else refused.
    """

    def __init__(self, budget: Budget, limit: int | None = None) -> None:
        self._budget = budget
        self._limit = limit

    @classmethod
    def limited(cls, limit: int, *, threads: int, work: Callable[[int], None]) -> "ProcessMemory":
        """Let this process keep a limit.

        What it holds beside photos is measured: what is loaded already, and what each of its
        threads takes to compute.

        Args:
            limit: Of the resident memory, in bytes.
            threads: That work at the same time.
            work: What each of them does with a photo, as far as that takes as much for all photos.
                It is called with numbers of threads, from 0.

        Raises:
            ConfigError: So little does not suffice; the message says how much would.
        """
        base = _peak_of(work, threads) + MARGIN
        if limit < base + LEAST_FOR_PHOTOS:
            raise ConfigError(
                f"--max-memory {format_memory(limit)}: too little, since the program and its "
                f"network take {format_memory(base)} without any photo; use "
                f"{format_memory(base + LEAST_FOR_PHOTOS)} or more"
                + (", or fewer --workers" if threads > 1 else "")
            )
        return cls(Budget(limit - base), limit)

    @contextmanager
    def taken(self, amount: int) -> Iterator[Share]:
        """Hold memory for a photo for the time of a `with` block; wait until there is enough.

        Raises:
            PhotoError: There will never be enough.
        """
        self._refuse(amount)
        with self._budget.taken(amount) as share:
            self._make_room()
            yield share

    def grow(self, share: Share, amount: int) -> bool:
        """Make a share larger if that can be done at once, and return whether.

        Raises:
            PhotoError: There will never be enough.
        """
        self._refuse(amount)
        if not share.grow(amount):
            return False
        self._make_room()
        return True

    def _refuse(self, amount: int) -> None:
        if self._limit is not None and amount > self._budget.total:
            raise PhotoError(
                f"needs {format_memory(amount)} of memory, and --max-memory "
                f"{format_memory(self._limit)} leaves {format_memory(self._budget.total)} for "
                f"photos; raise it to {format_memory(self._limit - self._budget.total + amount)}"
            )

    def _make_room(self) -> None:
        """Give freed blocks back if the process might pass its limit with them.

        Photos may take all that they hold on top of what is resident, for large arrays are never
        put where small ones were.
        """
        if self._limit is not None and resident_memory() + self._budget.held > self._limit:
            give_freed_memory_back()


def has_room(amount: int, *, limit: int | None) -> bool:
    """Tell whether this process may take so many more bytes, and make room for them.

    Args:
        amount: In bytes.
        limit: Of the resident memory, in bytes; None for no limit.
    """
    if limit is not None and resident_memory() + amount > limit:
        give_freed_memory_back()
        return resident_memory() + amount <= limit
    return True


def resident_memory() -> int:
    """Return the bytes of this process that are in memory."""
    return int(psutil.Process().memory_info().rss)


def _peak_of(work: Callable[[int], None], threads: int) -> int:
    """Return the most bytes that are resident while threads do something at the same time."""
    cpu = torch.device("cpu")
    ready = Barrier(threads)

    def work_with_others(thread: int) -> None:
        ready.wait()
        work(thread)

    forget_process_peak(cpu)
    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(work_with_others, thread) for thread in range(threads)]:
            done.result()
    resident = resident_memory()
    # These threads end, and what they leave behind is not where others will put theirs.
    give_freed_memory_back()
    return max(resident, process_peak(cpu) or 0)
