"""Files and folders that may not be read, for tests that may run as root."""

import ctypes
import os
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_VERSION = 0x20080522  # _LINUX_CAPABILITY_VERSION_3
_READS_EVERYTHING = 1 << 1 | 1 << 2  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH


@contextmanager
def closed(path: Path) -> Iterator[None]:
    """Let the system refuse this thread, and those that it starts, to read a file or a folder."""
    mode = path.stat().st_mode
    path.chmod(0)
    try:
        with _without_privileges():
            yield
    finally:
        path.chmod(mode)


@contextmanager
def _without_privileges() -> Iterator[None]:
    """Take from root, for the thread, the capability to read what is closed to others."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header = struct.pack("Ii", _VERSION, 0)
    found = ctypes.create_string_buffer(24)
    if libc.capget(header, found) != 0:
        raise OSError(ctypes.get_errno(), "capget")
    effective, *others = struct.unpack("6I", found.raw)
    fewer = struct.pack("6I", effective & ~_READS_EVERYTHING, *others)
    if libc.capset(header, fewer) != 0:
        raise OSError(ctypes.get_errno(), "capset")
    try:
        yield
    finally:
        libc.capset(header, found.raw)
