"""Finding the processes that a run has started for its tasks."""

import psutil


def workers_of(process: int) -> list[psutil.Process]:
    """Return the worker processes of a process that are alive."""
    return [each for each in psutil.Process(process).children() if _is_worker(each)]


def _is_worker(process: psutil.Process) -> bool:
    try:
        return any("import serve" in part for part in process.cmdline())
    except psutil.Error:  # it has ended, though perhaps nobody has waited for it
        return False
