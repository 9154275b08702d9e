"""How many workers a run of `banet segment` takes, and what each may use of the cores."""

import torch

from pipelines.parallel import REMOTE_WORKERS_PER_CORE, Pool, available_cores, has_dask_cuda
from pipelines.runtimes import runtime_of
from pipelines.segment_options import SegmentOptions


def gpu_processes(options: SegmentOptions, device: str) -> int:
    """Return how many processes a local run takes, to use as many GPUs; 0 for none but its own.

    Args:
        options: Of the run.
        device: That it would use by itself.
    """
    gpus = torch.cuda.device_count() if device == "cuda" else 0
    return gpus if gpus > 1 and options.workers != 0 and has_dask_cuda() else 0


def local_workers(
    options: SegmentOptions, device: str, *, photos: int | None, is_far: bool
) -> int | None:
    """Return how many threads a local run takes; None if a cluster has its own.

    On a CPU one per core, as each has a thread beside it that waits for the disk. With a GPU one
    per core decodes and encodes while as many wait for their turn.

    Args:
        options: Of the run.
        device: That it uses.
        photos: How many there are to do; None for as many as will come. One alone needs no workers,
            which take some tenths of a second to start.
        is_far: Whether photos or results are behind a URL.
    """
    if options.workers is not None or options.scheduler is not None:
        return options.workers
    if photos == 1 and torch.device(device).type == "cpu":
        return 0
    if is_far:
        return REMOTE_WORKERS_PER_CORE * available_cores()
    return available_cores() * (1 if torch.device(device).type == "cpu" else 2)


def threads_per_worker(pool: Pool, options: SegmentOptions, device: str) -> int | None:
    """Share the cores among the workers; on a cluster each worker thread is one core's worth.

    Args:
        pool: That has been opened.
        options: Of the run.
        device: That it uses.

    Returns:
        Threads that the network may use in each of them; None leaves torch's own choice.
    """
    if options.scheduler is not None:
        return 1
    if pool.workers <= 1:
        return available_cores() if available_cores() < torch.get_num_threads() else None
    cores = min(torch.get_num_threads(), available_cores())  # torch knows no quotas
    if device == "cpu" and options.batch_size not in {None, 1}:
        return cores  # of the workers one at a time computes, for all of them
    # The workers share the one session of ONNX Runtime, whose threads come on top of theirs. So
    # do those of OpenCV; torch, where each worker has its own, computes nothing then.
    is_shared = runtime_of(options.weights) == "onnx"
    return max(1, cores - pool.workers + 1 if is_shared else cores // pool.workers)
