"""Processes that read photos and draw batches ahead of the training."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing import resource_tracker
from typing import Protocol, TypeVar

from torch.utils.data import DataLoader, Dataset

from pipelines.errors import BanetError
from pipelines.inference import limit_threads
from pipelines.interrupts import SIGNALS

MOST_READERS = 8
"""Each has torch in its memory, and the photos of a batch."""

ITEMS_AHEAD = 3
"""Of each of these processes."""

_ADVICE = (
    "leave more memory free or use a smaller --batch-size, in a container also with more shared "
    "memory (docker run --shm-size 4g), then run the same command again with --resume"
)


class Shareable(Protocol):
    """What a reader sends."""

    def share(self) -> None:
        """Move to memory that other processes reach."""


Item = TypeVar("Item", bound=Shareable)


def available_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def read_ahead(dataset: Dataset[Item], indices: range, *, cores: int) -> Iterator[Item]:
    """Yield items of a dataset that other processes get, in order.

    Args:
        dataset: Is sent to these processes once.
        indices: Of the items.
        cores: As many of these processes there are at most.

    Raises:
        BanetError: What one of these processes raised, or one is gone.
    """
    count = min(cores, len(indices), MOST_READERS)
    # A thread of its own: torch tells the main thread of a dead reader by an exception amid
    # whatever it does, but another one where it waits for the next item.
    with ThreadPoolExecutor(1, "readers") as thread, _loss_explained():
        items = thread.submit(_start, _Answers(dataset), indices, count).result()
        while (item := thread.submit(next, items, None).result()) is not None:
            if isinstance(item, BanetError):
                raise item
            yield item


class _Answers(Dataset[Item | BanetError]):
    """Gives errors as values: torch would make tracebacks of them, which no user can read."""

    def __init__(self, dataset: Dataset[Item]) -> None:
        self._dataset = dataset

    def __getitem__(self, index: int) -> Item | BanetError:
        try:
            item = self._dataset[index]
        except BanetError as error:
            return error
        try:
            # Here, since torch would do it where a failure goes unheard and nobody gets an answer.
            item.share()
        except RuntimeError as error:
            return BanetError(f"no shared memory for the next batch ({error}); {_ADVICE}")
        return item


def _start(
    answers: _Answers[Item], indices: range, count: int
) -> Iterator[Item | BanetError | None]:
    resource_tracker.ensure_running()  # which would unblock the signals, if it did so later
    if hasattr(signal, "pthread_sigmask"):
        # For this thread, and so for the readers from their first moment on.
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    return iter(
        DataLoader(
            answers,
            sampler=indices,
            batch_size=None,
            num_workers=count,
            worker_init_fn=_prepare_reader,
            # Threads of zarr and torch do not survive a fork.
            multiprocessing_context="spawn",
            prefetch_factor=ITEMS_AHEAD,
        )
    )


def _prepare_reader(_number: int) -> None:
    """Leave signals to the process that trains: it still wants batches until it has saved."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    limit_threads(1)


@contextmanager
def _loss_explained() -> Iterator[None]:
    try:
        yield
    except (RuntimeError, ConnectionError, EOFError, FileNotFoundError) as error:
        # Anything but a RuntimeError is a batch that cannot be fetched from a reader any more.
        words = str(error)
        unexpected = isinstance(error, RuntimeError) and not words.startswith("DataLoader worker")
        if unexpected or "Original Traceback" in words:  # a bug, which is to be told as one
            raise
        reason = words.partition("\n")[0].rstrip(". ") or type(error).__name__
        raise BanetError(
            f"a process that reads photos is gone ({reason}), perhaps because the system ended it "
            f"for want of memory; {_ADVICE}"
        ) from error
