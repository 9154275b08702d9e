"""Processes that begin quickly, and may kill themselves."""

import multiprocessing
import os
import signal
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from typing import Any


def die() -> None:
    """End this process as the system does that is short of memory, or cuts the power."""
    os.kill(os.getpid(), signal.SIGKILL)


def _run(environment: dict[str, str], target: Callable[..., object], *arguments: object) -> None:
    os.environ.update(environment)  # the server of processes has that of its own beginning
    target(*arguments)


def begun(target: Callable[..., object], *arguments: object) -> BaseProcess:
    """Let a process that begins quickly run a function.

    Args:
        target: Of a module that can be imported.
        arguments: Of the function.
    """
    method = "spawn" if os.name == "nt" else "forkserver"
    context: Any = multiprocessing.get_context(method)
    context.set_forkserver_preload(["pipelines.segment"])  # what it can find; ours it cannot
    process: BaseProcess = context.Process(target=_run, args=(dict(os.environ), target, *arguments))
    process.start()
    return process


def exit_code_of(target: Callable[..., object], *arguments: object) -> int:
    """Run a function in such a process to its end, and return its exit code."""
    process = begun(target, *arguments)
    process.join()
    assert process.exitcode is not None
    return process.exitcode
