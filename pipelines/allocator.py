"""What the C library does with memory that is free again."""

import ctypes
import sys
from functools import cache
from typing import Any

M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3

LARGEST_KEPT_BLOCK = 32 * 2**20
"""The greatest value that glibc takes for `M_MMAP_THRESHOLD`."""

KEPT_IN_ALL = 2**31 - 1


@cache
def keep_freed_memory() -> None:
    """Let this process keep freed blocks instead of giving them back to the system.

    The features of a photo at full resolution take megabytes. glibc fetches such blocks from the
    system and gives them back for every layer, and each time the system fills them with zeros,
    page by page, which takes as long as computing with them. Photos, decoded and resized, are such
    blocks too. Those above `LARGEST_KEPT_BLOCK` are still given back. Does nothing with other C
    libraries.
    """
    mallopt = _of_the_c_library("mallopt")
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT_BLOCK)
        mallopt(M_TRIM_THRESHOLD, KEPT_IN_ALL)


def give_freed_memory_back() -> None:
    """Give the system the freed blocks back that this process has kept so far."""
    malloc_trim = _of_the_c_library("malloc_trim")
    if malloc_trim is not None:
        malloc_trim(0)


def _of_the_c_library(name: str) -> Any:
    """Return a function that only glibc has; None with others."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
