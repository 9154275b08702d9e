"""What a worker process of `banet segment` holds for all photos: network, memory, background."""

import hashlib
import threading
from functools import lru_cache

import numpy as np

from pipelines.budget import Budget
from pipelines.devices import precision_name
from pipelines.engines import Engine, compute_for, engine_once
from pipelines.errors import InputError, PhotoError
from pipelines.images import Pixels, decode_photo
from pipelines.inference import limit_threads
from pipelines.parallel import available_memory, worker_threads
from pipelines.photo_tasks import TaskSettings
from pipelines.process_memory import ProcessMemory
from pipelines.storage import Location
from pipelines.whole_files import read_bytes

_measuring = threading.Lock()


def open_engine(settings: TaskSettings) -> Engine:
    """Return the engine of this worker process.

    Raises:
        BanetError: The weights or the device are not to be had here.
    """
    return engine_once(
        settings.weights,
        settings.weights_sha256,
        device=settings.device,
        precision=settings.precision,
        size=settings.size,
        threads=settings.threads,
        batch_size=settings.batch_size,
        description=settings.description,
    )


def process_memory(settings: TaskSettings) -> ProcessMemory:
    """Return what the photos of this worker process share.

    Without `--max-memory` that is half of the memory. What a photo needs there always is, so that
    on a small machine large photos are done one at a time.

    Raises:
        BanetError: The weights, the device or the background are not to be had here.
        ConfigError: What `--max-memory` allows does not suffice.
    """
    with _measuring:  # alone, before this process has any photo in work
        return _process_memory(settings)


@lru_cache(maxsize=1)
def _process_memory(settings: TaskSettings) -> ProcessMemory:
    if settings.max_memory is None:
        return ProcessMemory(Budget(available_memory(processes=settings.processes) // 2))
    engine = open_engine(settings)
    if settings.background is not None:
        load_background(*settings.background)
    blank = np.zeros((settings.size, settings.size, 3), np.uint8)
    threads = worker_threads()

    def compute(thread: int) -> None:
        if settings.threads is not None:
            limit_threads(settings.threads)
        # Where threads share a batch, it is one of them that computes it.
        compute_for(engine, blank, callers=threads if thread == 0 else 1)

    return ProcessMemory.limited(settings.max_memory, threads=threads, work=compute)


def probe_worker(settings: TaskSettings) -> tuple[str, str]:
    """Return the device and the precision that a worker computes with, and load its weights.

    Raises:
        BanetError: The weights, the device or the background are not to be had there.
        ConfigError: What `--max-memory` allows does not suffice there.
    """
    engine = open_engine(settings)
    if settings.background is not None:
        load_background(*settings.background)
    process_memory(settings)
    return str(engine.device), precision_name(engine.dtype)


@lru_cache(maxsize=2)
def load_background(path: Location, sha256: str) -> Pixels:
    """Read the picture for the composite `image`, once per process.

    Raises:
        InputError: It cannot be read, or is another one than `sha256` says.
    """
    try:
        content = read_bytes(path)
        picture = decode_photo(content).pixels
    except PhotoError as error:
        raise InputError(
            f"--background {path}: {error}; name a picture that can be read"
        ) from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise InputError(
            f"--background {path}: it changed, or this machine has another file of that name; "
            "copy the same file to every worker, then run the same command again"
        )
    return picture
