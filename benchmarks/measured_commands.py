"""Commands in processes of their own: how long they took, and how much they needed."""

import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, sleep

import psutil

from pipelines.errors import BanetError

BANET = (sys.executable, "-m", "banet_cli")

SECONDS_BETWEEN_LOOKS = 0.01

SECONDS_BETWEEN_LISTS = 0.2
"""Of the processes that a command started: all of the machine are looked at."""

SHOWN_BYTES = 2000
"""Of what a command that failed wrote last."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a command took.

    Attributes:
        exit_code: Its own.
        wall_seconds: From its start to its end.
        cpu_seconds: Of all its threads, and of the processes that it started and waited for.
        peak_memory: Most bytes that were resident of it, and of each process that it started,
            added up: more than were at once, since they share code. 0 on systems other than Linux.
        output: What it wrote to standard output.
    """

    exit_code: int
    wall_seconds: float
    cpu_seconds: float
    peak_memory: int
    output: str


def measure(command: Sequence[str | Path], *, allowed: Sequence[int] = (0,)) -> Measured:
    """Run a command to its end.

    Args:
        command: The program and its arguments.
        allowed: Exit codes that are no failure of the command.

    Raises:
        BanetError: It ended with another one.
    """
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        started = perf_counter()
        process = subprocess.Popen(  # noqa: S603 - a command of ours
            [str(part) for part in command], stdout=output, stderr=errors
        )
        peaks: dict[int, int] = {}
        ended, listed = 0, -math.inf
        while not ended:
            if perf_counter() - listed > SECONDS_BETWEEN_LISTS:
                family, listed = _family(process.pid), perf_counter()
            for each in family:
                # The last, since a new process has the memory of its parent for a moment.
                peaks[each] = _peak_memory(each) or peaks.get(each, 0)
            sleep(SECONDS_BETWEEN_LOOKS)
            ended, status, usage = os.wait4(process.pid, os.WNOHANG)
        wall = perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        if process.returncode not in allowed:
            errors.seek(0)
            last = errors.read()[-SHOWN_BYTES:].decode(errors="replace").strip()
            raise BanetError(f"{command[0]} failed with {process.returncode}: {last}")
        return Measured(
            exit_code=process.returncode,
            wall_seconds=wall,
            cpu_seconds=usage.ru_utime + usage.ru_stime,
            peak_memory=sum(peaks.values()),
            output=output.read().decode(),
        )


def _family(process: int) -> list[int]:
    """Return a process that has not been waited for, and all that it started."""
    return [process, *(each.pid for each in psutil.Process(process).children(recursive=True))]


def _peak_memory(process: int) -> int:
    """Return the most bytes that were resident so far.

    What the system says when a process has ended is no less than what its parent held when it
    began.
    """
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0
    kilobytes = (line.split()[1] for line in lines if line.startswith("VmHWM:"))
    return 1024 * int(next(kilobytes, 0))
