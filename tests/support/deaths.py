"""Processes that kill themselves."""

import multiprocessing
import os
import signal
from collections.abc import Callable
from typing import Any


def die() -> None:
    """End this process as the system does that is short of memory, or cuts the power."""
    os.kill(os.getpid(), signal.SIGKILL)


def _run(environment: dict[str, str], target: Callable[..., None], *arguments: object) -> None:
    os.environ.update(environment)  # the server of processes has that of its own beginning
    target(*arguments)


def exit_code_of(target: Callable[..., None], *arguments: object) -> int:
    """Run a function in a process that begins quickly, and return its exit code.

    Args:
        target: Of a module that can be imported.
        arguments: Of the function.
    """
    context: Any = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["pipelines.segment"])  # what it can find; ours it cannot
    process = context.Process(target=_run, args=(dict(os.environ), target, *arguments))
    process.start()
    process.join()
    assert process.exitcode is not None
    return process.exitcode
