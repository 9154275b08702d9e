"""Training batches: pure functions of seed and iteration, made on the device that trains."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise

import torch

from pipelines.augmentation.render import Batch, joined, render
from pipelines.augmentation.warp import Views, moved
from pipelines.draws import Drawn, Draws
from pipelines.inference import limit_threads
from pipelines.readers import available_cores, read_ahead


class BatchSource:
    """Yields the batches of a recipe.

    Every batch is a pure function of the seed and the iteration's number, so that a resumed run
    sees what an uninterrupted one would have seen, without any state being kept.

    Args:
        draws: What the batches are made from, and where.
    """

    def __init__(self, draws: Draws) -> None:
        self._draws = draws
        self._device = draws.device
        # Processes that share the batches share the cores, too.
        self._cores = max(1, available_cores() // draws.sharing)
        self._threads = self._thread_count()
        self._executor = ThreadPoolExecutor(
            self._threads, "batch", initializer=limit_threads, initargs=(1,)
        )

    def batches(self, first: int) -> Iterator[Batch]:
        """Yield the batches from iteration `first` to the end.

        Raises:
            StoreError: A photo that memory does not hold cannot be read.
            BanetError: A process that reads photos is gone.
        """
        iterations = range(first, self._draws.iterations)
        if not self._draws.resident:
            return self._streamed(iterations)
        if self._device.type == "cpu":
            # Not ahead of the training step, which would wait for a core that is busy with this.
            return map(self.batch, iterations)
        return self._ahead(iterations)

    def batch(self, iteration: int) -> Batch:
        """Make the batch of one iteration, counted from 0, in as many threads as compute."""
        return _joined_results(self._submitted(iteration))

    def _thread_count(self) -> int:
        """Return how many threads share the work on a batch that falls to this process."""
        if self._device.type == "cpu":
            return torch.get_num_threads()
        host_warps = self._draws.resident and not self._draws.on_device
        return self._cores if host_warps else 1

    def _submitted(self, iteration: int) -> list[Future[Batch]]:
        places = self._draws.places(iteration)
        return [
            self._executor.submit(self._part, iteration, places[part])
            for part in self._parts(len(places))
        ]

    def _parts(self, count: int) -> list[slice]:
        """Divide samples among the threads."""
        ends = [count * part // self._threads for part in range(self._threads + 1)]
        return [slice(start, end) for start, end in pairwise(ends) if start < end]

    def _part(self, iteration: int, places: range) -> Batch:
        return self._render(self._draws.draw(iteration, places))

    def _ahead(self, iterations: range) -> Iterator[Batch]:
        """Make each batch while the device trains on the last."""
        ahead: deque[list[Future[Batch]]] = deque()
        for iteration in iterations:
            ahead.append(self._submitted(iteration))
            if len(ahead) > 1:
                yield _joined_results(ahead.popleft())
        while ahead:
            yield _joined_results(ahead.popleft())

    def _streamed(self, iterations: range) -> Iterator[Batch]:
        """Let other processes read photos and draw batches."""
        for drawn in read_ahead(self._draws, iterations, cores=self._cores):
            # In the same threads as batches of photos in memory, for the same rounding.
            parts = [drawn.part(part) for part in self._parts(len(drawn.plans))]
            yield joined(list(self._executor.map(self._render, parts)))

    def _render(self, drawn: Drawn) -> Batch:
        """Do the device's part."""
        views = Views(*(moved(plane, self._device) for plane in drawn.views))
        return render(drawn.plans, views, moved(drawn.grounds, self._device))


def _joined_results(parts: list[Future[Batch]]) -> Batch:
    return joined([part.result() for part in parts])
