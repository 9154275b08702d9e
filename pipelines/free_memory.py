"""How much memory there is to be had."""

from pathlib import Path

import psutil

CGROUP = Path("/sys/fs/cgroup")
"""Where Linux says what limits a container has (version 2)."""


def free_memory() -> int:
    """Return the bytes that this process could still take, the limits of containers considered."""
    free = int(psutil.virtual_memory().available)
    try:
        limit = int((CGROUP / "memory.max").read_text())
        used = int((CGROUP / "memory.current").read_text())
    except (OSError, ValueError):  # no container, or one without a limit, which says "max"
        return free
    return min(free, max(0, limit - used))
