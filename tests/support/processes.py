"""Commands in processes of their own, which tests kill."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

BANET = (sys.executable, "-m", "banet_cli")


@contextmanager
def started(*command: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command in a process group of its own, which is gone at the end of the block.

    Args:
        command: What to run.
        log: File for what it says.
    """
    with log.open("ab") as said:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True
        )
    with process:
        try:
            yield process
        finally:
            kill_group(process)


@contextmanager
def paused(script: str) -> Iterator[None]:
    """Run Python code that prints a line and then reads one; between them runs the `with` block.

    The code goes on at the end of the block, and must end well.
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        yield
        process.communicate("\n")
    assert process.returncode == 0


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Send SIGKILL to a process and all that it started, and wait for its end."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def wait_until(
    condition: Callable[[], bool],
    process: subprocess.Popen[bytes] | None = None,
    *,
    seconds: float = 60,
    every: float = 0.005,
) -> bool:
    """Wait for a condition, and tell whether it came before the process or the time ended."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        if process is not None and process.poll() is not None:
            return condition()
        time.sleep(every)
    return False


def lines_in(file: Path) -> int:
    """Count the whole lines of a file that may not be there."""
    return file.read_bytes().count(b"\n") if file.exists() else 0
