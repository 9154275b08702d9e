"""Commands in processes of their own: how long they took, and how much they needed."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from pipelines.errors import BanetError

KILOBYTE = 1 if sys.platform == "darwin" else 1024
"""Bytes in the unit that the system counts the peak memory of a process in."""

SHOWN_BYTES = 2000
"""Of what a command that failed wrote last."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a command took.

    Attributes:
        wall_seconds: From its start to its end.
        cpu_seconds: Of all its threads.
        peak_memory_mb: The most that was resident at once.
        output: What it wrote to standard output.
    """

    wall_seconds: float
    cpu_seconds: float
    peak_memory_mb: float
    output: str


def measure(command: Sequence[str | Path]) -> Measured:
    """Run a command to its end.

    Raises:
        BanetError: It failed.
    """
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        started = perf_counter()
        process = subprocess.Popen(  # noqa: S603 - a command of ours
            [str(part) for part in command], stdout=output, stderr=errors
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        if process.returncode:
            errors.seek(0)
            last = errors.read()[-SHOWN_BYTES:].decode(errors="replace").strip()
            raise BanetError(f"{command[0]} failed with {process.returncode}: {last}")
        return Measured(
            wall_seconds=wall,
            cpu_seconds=usage.ru_utime + usage.ru_stime,
            peak_memory_mb=usage.ru_maxrss * KILOBYTE / 1e6,
            output=output.read().decode(),
        )
