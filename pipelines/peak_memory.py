"""The most memory that is in use at once, by a network alone or by this process."""

import signal
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path

import torch

from pipelines.allocator import give_freed_memory_back
from pipelines.contender import Contender
from pipelines.errors import BanetError

BuildContender = Callable[[], Contender]

FORWARD_PASSES = 2
"""The second takes more than the first, whose memory is given back only in part."""

PROCESS = Path("/proc/self")
"""What Linux tells a process about itself."""

FORGET_PEAK = "5"
"""Written to `clear_refs`, it makes the present resident memory the peak."""


def peak_memory(build: BuildContender, *, device: torch.device) -> int | None:
    """Return the bytes that a network adds at most to what was in use before.

    On an NVIDIA GPU these are the bytes that torch hands out, whatever its cache holds besides. On
    a CPU it is the growth of the resident memory of a fresh process that has loaded torch, with
    the few megabytes of code that the first forward pass of any network brings in. Memory that
    only building the network took does not count.

    Args:
        build: Builds the network; picklable, since on a CPU another process calls it.
        device: Where the network runs.

    Returns:
        None where nobody counts: on Apple GPUs, and on the CPU of systems other than Linux.

    Raises:
        BanetError: The memory does not suffice.
    """
    if device.type == "cuda":
        return _peak_allocated(build, device)
    if device.type == "cpu":
        return _peak_of_fresh_process(build)
    return None


def forget_process_peak(device: torch.device) -> None:
    """Let `process_peak` begin anew, where the system allows it."""
    if device.type == "cuda":
        torch.cuda.init()  # the next call knows no device before
        torch.cuda.reset_peak_memory_stats(device)
    elif device.type == "cpu":
        _forget_peak_resident()


def process_peak(device: torch.device) -> int | None:
    """Return the most bytes that this process held at once, all that it does counted.

    Args:
        device: Where it computes. On an NVIDIA GPU these are the bytes that torch hands out there,
            on a CPU the resident memory.

    Returns:
        None where nobody counts: on Apple GPUs, and on the CPU of systems other than Linux.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return _resident("VmHWM") if device.type == "cpu" else None


def _peak_allocated(build: BuildContender, device: torch.device) -> int:
    torch.cuda.synchronize(device)
    before = torch.cuda.memory_allocated(device)
    contender = build()
    torch.cuda.reset_peak_memory_stats(device)
    _run(contender)
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) - before


def _peak_of_fresh_process(build: BuildContender) -> int | None:
    # Ctrl-C reaches the whole process group; only this process is to answer it.
    ignore_interrupts = (signal.SIGINT, signal.SIG_IGN)
    with ProcessPoolExecutor(
        1, mp_context=get_context("spawn"), initializer=signal.signal, initargs=ignore_interrupts
    ) as pool:
        try:
            return pool.submit(_peak_resident, build, torch.get_num_threads()).result()
        except BrokenProcessPool as error:
            raise BanetError(
                "the system ended the process that measures memory, most likely for want of it; "
                "use a smaller --size or --batch-size, or leave large networks out with --models"
            ) from error


def _peak_resident(build: BuildContender, threads: int) -> int | None:
    torch.set_num_threads(threads)
    # Not ru_maxrss of getrusage: on Linux a new process inherits the peak of its parent there.
    before = _resident("VmRSS")
    contender = build()
    give_freed_memory_back()  # what only building it took does not count
    if not _forget_peak_resident():
        return None
    _run(contender)
    peak = _resident("VmHWM")
    return None if before is None or peak is None else peak - before


def _forget_peak_resident() -> bool:
    """Make the present resident memory the peak; tell whether the system allows it."""
    try:
        (PROCESS / "clear_refs").write_text(FORGET_PEAK)
    except OSError:
        return False
    return True


def _resident(kind: str) -> int | None:
    try:
        lines = (PROCESS / "status").read_text().splitlines()
    except OSError:
        return None
    status = dict(line.split(":", 1) for line in lines)
    return int(status[kind].split()[0]) * 1024 if kind in status else None


def _run(contender: Contender) -> None:
    for _ in range(FORWARD_PASSES):
        contender()
