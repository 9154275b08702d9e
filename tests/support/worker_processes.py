"""Finding the processes that a run has started for its tasks."""

import psutil


def workers_of(process: int) -> list[psutil.Process]:
    """Return the worker processes of a process: those that its server forked."""
    servers = [
        child
        for child in psutil.Process(process).children()
        if any("forkserver" in part for part in child.cmdline())
    ]
    return [worker for server in servers for worker in server.children()]
