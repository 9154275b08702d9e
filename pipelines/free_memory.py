"""How much memory this process has, and how much there is to be had."""

from pathlib import Path, PurePosixPath

import psutil

CGROUPS = Path("/sys/fs/cgroup")
"""Where Linux says what limits containers and services have (version 2)."""

MEMBERSHIP = Path("/proc/self/cgroup")
"""Where it says which group this process is in."""


def used_memory() -> int:
    """Return the bytes of memory that this process has."""
    return int(psutil.Process().memory_info().rss)


def free_memory(*, cgroups: Path = CGROUPS, membership: Path = MEMBERSHIP) -> int:
    """Return the bytes that this process could still take, the limits of containers considered.

    Args:
        cgroups: Folder of all groups, each one in the folder of the group that it belongs to.
        membership: File that names the group of this process.
    """
    left = [_left_in(group) for group in _groups(cgroups, membership)]
    return min([psutil.virtual_memory().available, *(each for each in left if each is not None)])


def _groups(cgroups: Path, membership: Path) -> list[Path]:
    """Return the group of this process and those around it, whose limits all count."""
    try:
        lines = membership.read_text().splitlines()
    except OSError:  # not on Linux
        return []
    paths = [line.removeprefix("0::/") for line in lines if line.startswith("0::/")]
    # A path that leads out of what this container may see says nothing but that it is in one.
    inside = [path for path in paths if ".." not in PurePosixPath(path).parts]
    group = PurePosixPath(inside[0] if inside else "")
    return [cgroups / each for each in (group, *group.parents)]


def _left_in(group: Path) -> int | None:
    """Return what a group may still take, None without a limit, for which its file says "max"."""
    try:
        limit = int((group / "memory.max").read_text())
        used = int((group / "memory.current").read_text())
    except (OSError, ValueError):
        return None
    return max(0, limit - used + _forgettable(group))


def _forgettable(group: Path) -> int:
    """Return the bytes of files that Linux keeps in memory as long as nobody needs it."""
    try:
        lines = (group / "memory.stat").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("inactive_file "))
