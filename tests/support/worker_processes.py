"""Finding the processes that a run has started for its tasks."""

import psutil


def workers_of(process: int) -> list[psutil.Process]:
    """Return the worker processes of a process."""
    children = psutil.Process(process).children()
    return [each for each in children if any("import serve" in part for part in each.cmdline())]
