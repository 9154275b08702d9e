"""`banet benchmark`: size, speed and memory of the networks, side by side on one device."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from time import perf_counter

import numpy as np
import torch

from models import MODELS
from pipelines.benchmark_options import (
    REFERENCE_MODEL,
    BenchmarkOptions,
    BenchmarkSummary,
    ModelFigures,
)
from pipelines.contender import Contender
from pipelines.devices import (
    Precision,
    device_name,
    half_precision,
    precision_name,
    resolve_device,
    resolve_precision,
)
from pipelines.info import versions
from pipelines.peak_memory import peak_memory
from pipelines.progress import Progress, SilentProgress
from pipelines.timing import Clock, clock_of, sample_in_turn

__all__ = ["BenchmarkOptions", "BenchmarkSummary", "benchmark"]


def benchmark(options: BenchmarkOptions, *, progress: Progress | None = None) -> BenchmarkSummary:
    """Measure networks with random weights and photos.

    Latencies are taken in turn, so that whatever slows the machine down meets all networks alike;
    memory afterwards, so that it does not disturb them. On a CPU that takes a process of its own
    for each network: a script that calls this does so under `if __name__ == "__main__":`.

    Raises:
        ConfigError: An option makes no sense, or the device cannot compute in the precision.
        DeviceError: The device is not there.
        BanetError: The memory does not suffice.
    """
    started = perf_counter()
    progress = progress or SilentProgress()
    device = resolve_device(options.device)
    dtypes = _dtypes_to_try(options.precision, device)
    with _threads(options.threads) as threads:
        candidates = _build(options, device, dtypes, progress)
        contenders, latencies = _fastest(
            candidates, _latencies(candidates, clock_of(device), options.repeats, progress)
        )
        peaks = _peaks(contenders, options, device, progress)
        figures = _figures(contenders, latencies, peaks, options.batch_size)
    return BenchmarkSummary(
        models=figures,
        device=str(device),
        device_name=device_name(device),
        threads=threads,
        precision=options.precision,
        size=options.size,
        batch_size=options.batch_size,
        repeats=options.repeats,
        seconds=round(perf_counter() - started, 3),
        versions=versions(),
    )


def _dtypes_to_try(precision: Precision, device: torch.device) -> tuple[torch.dtype, ...]:
    if precision != "auto":
        return (resolve_precision(precision, device),)
    half = half_precision(device)
    return (torch.float32,) if half is None else (torch.float32, half)


@contextmanager
def _threads(count: int | None) -> Iterator[int]:
    """Let torch compute with so many threads during a `with` block; None changes nothing."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield torch.get_num_threads()
    finally:
        torch.set_num_threads(before)


def _build(
    options: BenchmarkOptions,
    device: torch.device,
    dtypes: tuple[torch.dtype, ...],
    progress: Progress,
) -> list[Contender]:
    """Build every network in every precision that is to be tried."""
    contenders = []
    progress.start("building", len(options.names))
    for name in options.names:
        contenders += [_builder(options, name, device, dtype)() for dtype in dtypes]
        progress.advance(status=name)
    progress.finish()
    return contenders


def _builder(
    options: BenchmarkOptions, name: str, device: torch.device, dtype: torch.dtype
) -> partial[Contender]:
    return partial(
        Contender,
        name,
        MODELS[name],
        device=device,
        dtype=dtype,
        size=options.size,
        batch_size=options.batch_size,
    )


def _fastest(
    candidates: list[Contender], latencies: list[list[float]]
) -> tuple[list[Contender], list[list[float]]]:
    """Keep every network in the precision whose median latency is the least."""
    best: dict[str, tuple[Contender, list[float]]] = {}
    for candidate, samples in zip(candidates, latencies, strict=True):
        rival = best.get(candidate.name)
        if rival is None or np.median(samples) < np.median(rival[1]):
            best[candidate.name] = candidate, samples
    return [contender for contender, _ in best.values()], [samples for _, samples in best.values()]


def _latencies(
    contenders: list[Contender], clock: Clock, repeats: int, progress: Progress
) -> list[list[float]]:
    progress.start("timing", repeats * len(contenders))
    samples = sample_in_turn(contenders, clock=clock, rounds=repeats, advance=progress.advance)
    progress.finish()
    return samples


def _peaks(
    contenders: list[Contender],
    options: BenchmarkOptions,
    device: torch.device,
    progress: Progress,
) -> list[int | None]:
    peaks = []
    progress.start("measuring memory", len(contenders))
    for contender in contenders:
        build = _builder(options, contender.name, device, contender.dtype)
        peaks.append(peak_memory(build, device=device))
        progress.advance(status=contender.name)
    progress.finish()
    return peaks


def _figures(
    contenders: list[Contender],
    latencies: list[list[float]],
    peaks: list[int | None],
    batch_size: int,
) -> tuple[ModelFigures, ...]:
    medians = {
        contender.name: float(np.median(samples))
        for contender, samples in zip(contenders, latencies, strict=True)
    }
    reference = medians.get(REFERENCE_MODEL)
    figures = []
    for contender, samples, peak in zip(contenders, latencies, peaks, strict=True):
        median = medians[contender.name]
        low, high = np.percentile(samples, (10, 90))
        figures.append(
            ModelFigures(
                name=contender.name,
                parameters=contender.parameters,
                gflops=contender.count_flops() / 1e9,
                precision=precision_name(contender.dtype),
                latency_ms=median * 1e3,
                latency_ms_p10=float(low) * 1e3,
                latency_ms_p90=float(high) * 1e3,
                fps=batch_size / median,
                fps_ratio=None if reference is None else reference / median,
                peak_memory_mb=None if peak is None else peak / 1e6,
            )
        )
    return tuple(figures)
