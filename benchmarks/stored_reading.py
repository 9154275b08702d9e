"""How fast processes read samples of a dataset at random, and how fast training uses them up."""

import json
import multiprocessing
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean, median
from threading import Barrier
from time import perf_counter
from typing import NamedTuple

import numpy as np
from measured_commands import measure

from pipelines.inference import limit_threads
from pipelines.store import open_store
from pipelines.stored_photos import StoredPhotos

TRAIN = Path(__file__).parent / "train.py"


class Speed(NamedTuple):
    """Samples per second of one process.

    Attributes:
        read: Photo and mask, as `Store.photos` yields them.
        ready: Made ready for views of any scale too, as `StoredPhotos` does.
    """

    read: float
    ready: float


@dataclass(frozen=True, kw_only=True)
class Training:
    """Steps of `banet train` with banet-64.

    Attributes:
        recipe: Of which the first stage counts.
        size: Of the views, in pixels.
        batch_size: So many at 512 pixels fit into the memory of any machine.
    """

    recipe: str
    size: int
    batch_size: int


READERS = (1, 2)
"""Processes that read at the same time."""

TRAININGS = (
    Training(recipe="paper", size=512, batch_size=2),
    Training(recipe="pretrain", size=192, batch_size=16),
)


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How fast a dataset is read, and used up.

    Attributes:
        speeds: Samples per second of each process, by the number of processes.
        training: Samples per second of training steps, by recipe and size.
        ratios: Photos and masks read by a process, over those used up.
    """

    speeds: dict[int, Speed]
    training: dict[str, float]
    ratios: dict[str, float]


def measure_reading(
    dataset: Path,
    *,
    samples: int,
    steps: int,
    repeats: int,
    trainings: Sequence[Training] = TRAININGS,
) -> Reading:
    """Read a dataset, and train on it, in turn.

    Args:
        dataset: With samples for training and validation.
        samples: That each process reads.
        steps: Of training.
        repeats: Of all, of which medians are taken.
        trainings: In place of the usual ones.
    """
    speeds: dict[int, list[Speed]] = {readers: [] for readers in READERS}
    used: dict[str, list[float]] = {f"{each.recipe}, {each.size}": [] for each in trainings}
    for _ in range(repeats):
        for readers, measured in speeds.items():
            measured.append(reading_speed(dataset, processes=readers, samples=samples))
        for training, rates in zip(trainings, used.values(), strict=True):
            rates.append(training_speed(dataset, training, steps=steps))
    found = {
        readers: Speed(*map(median, zip(*measured, strict=True)))
        for readers, measured in speeds.items()
    }
    rates_of = {name: median(rates) for name, rates in used.items()}
    return Reading(
        speeds=found,
        training=rates_of,
        ratios={
            f"{readers} reading, {name}": round(speed.read / rate, 2)
            for name, rate in rates_of.items()
            for readers, speed in found.items()
        },
    )


def reading_speed(dataset: Path, *, processes: int, samples: int) -> Speed:
    """Let processes read at the same time; return the mean of theirs.

    Args:
        dataset: A store.
        processes: How many.
        samples: That each reads, in an order of its own.
    """
    context = multiprocessing.get_context("spawn")  # zarr does not survive a fork
    with ProcessPoolExecutor(
        processes,
        mp_context=context,
        initializer=_begin,
        initargs=(context.Barrier(processes),),
    ) as pool:
        speeds = list(pool.map(partial(_read, dataset, samples), range(processes)))
    return Speed(*(round(fmean(each), 1) for each in zip(*speeds, strict=True)))


def training_speed(dataset: Path, training: Training, *, steps: int) -> float:
    """Return how many samples per second training uses up, its photos in memory."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train.json"
        command: list[str | Path] = [sys.executable, TRAIN, dataset, "--recipe", training.recipe]
        command += ["--size", str(training.size), "--batch-size", str(training.batch_size)]
        measure([*command, "--steps", str(steps), "--device", "cpu", "--json", path])
        seconds: float = json.loads(path.read_text())["overhead"]["training_seconds"]
    return round(steps * training.batch_size / seconds, 2)


def _begin(barrier: Barrier) -> None:
    global _together  # noqa: PLW0603 - of a process that does nothing else
    _together = barrier
    limit_threads(1)  # as readers do


def _read(dataset: Path, samples: int, seed: int) -> Speed:
    store = open_store(dataset)
    random = np.random.default_rng(seed)
    rounds = -(-samples // len(store))
    order = np.concatenate([random.permutation(len(store)) for _ in range(rounds)])[:samples]
    photos = StoredPhotos(store, order.tolist(), [None] * samples)
    assert photos[0].shape  # what is read once, and the code, is read before
    _together.wait()
    started = perf_counter()
    for _ in store.photos(order.tolist()):
        pass
    read = samples / (perf_counter() - started)
    _together.wait()
    started = perf_counter()
    for _ in photos:
        pass
    return Speed(read, samples / (perf_counter() - started))


_together: Barrier
