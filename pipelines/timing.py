"""Latency: the clocks of the devices, and samples of several networks in turn."""

from collections.abc import Callable, Sequence
from functools import partial
from math import ceil
from time import perf_counter

import numpy as np
import torch

Work = Callable[[], object]
Clock = Callable[[Work, int], float]
"""Does a piece of work so many times in a row and returns the seconds until the last is done."""

SAMPLE_SECONDS = 0.02
"""A sample repeats the work until it lasts about as long as this.

A single short piece of work would be lost in the jitter of the system.
"""


def clock_of(device: torch.device) -> Clock:
    """Return the clock for work on a device."""
    if device.type == "cuda":
        return partial(_seconds_on_cuda, device)
    if device.type == "mps":
        return _seconds_on_mps
    return _seconds_on_cpu


def sample_in_turn(
    works: Sequence[Work], *, clock: Clock, rounds: int, advance: Callable[[], None] | None = None
) -> list[list[float]]:
    """Measure pieces of work against each other.

    Each is first done twice to warm up and to find how often it fits into a sample. Then every
    round takes one sample of each, in an order that differs from round to round but not from run
    to run: whatever slows the machine down for a while, or leaves its caches warm, meets all of
    them alike.

    Args:
        works: What to measure.
        clock: That of the device which does the work.
        rounds: Samples of each.
        advance: Called after each sample.

    Returns:
        For each piece of work the seconds that doing it once took, by round.
    """
    counts = [_repetitions(work, clock) for work in works]
    samples: list[list[float]] = [[] for _ in works]
    for number in range(rounds):
        for index in np.random.default_rng(number).permutation(len(works)):
            samples[index].append(clock(works[index], counts[index]) / counts[index])
            if advance is not None:
                advance()
    return samples


def _repetitions(work: Work, clock: Clock) -> int:
    clock(work, 1)  # allocates, and chooses algorithms
    return ceil(SAMPLE_SECONDS / clock(work, 1))


def _seconds_on_cpu(work: Work, times: int) -> float:
    started = perf_counter()
    for _ in range(times):
        work()
    return perf_counter() - started


def _seconds_on_cuda(device: torch.device, work: Work, times: int) -> float:
    # The current stream of this device, which need not be the current device.
    stream = torch.cuda.current_stream(device)
    milliseconds = 0.0
    for _ in range(times):
        # Waited for one by one: a queue of passes would hide what the launch of each takes, from
        # the faster networks more than from the slower ones.
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize(device)
        start.record(stream)
        work()
        end.record(stream)
        end.synchronize()
        milliseconds += start.elapsed_time(end)
    return milliseconds / 1000


def _seconds_on_mps(work: Work, times: int) -> float:
    torch.mps.synchronize()
    started = perf_counter()
    for _ in range(times):
        work()
        torch.mps.synchronize()
    return perf_counter() - started
