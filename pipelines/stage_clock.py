"""The clock of the stages that a photo goes through."""

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from pipelines.images import Pixels
from pipelines.photo_tasks import Stage


@dataclass
class StageClock:
    """Adds up the CPU seconds of the calling thread by stage, and what it waited on top of them."""

    seconds: dict[Stage, float] = field(default_factory=lambda: defaultdict(float))
    waits: dict[Stage, float] = field(default_factory=lambda: defaultdict(float))
    _busy: float = 0.0
    _wall: float = 0.0

    @contextmanager
    def __call__(self, stage: Stage) -> Iterator[None]:
        """Count the time of a `with` block towards `stage`, less that of blocks within it."""
        started, started_busy = time.perf_counter(), time.thread_time()
        wall_before, busy_before = self._wall, self._busy
        try:
            yield
        finally:
            wall, busy = time.perf_counter() - started, time.thread_time() - started_busy
            own_wall = wall - (self._wall - wall_before)
            own_busy = busy - (self._busy - busy_before)
            self.seconds[stage] += own_busy
            self.waits[stage] += max(0.0, own_wall - own_busy)
            self._wall, self._busy = wall_before + wall, busy_before + busy

    def each(self, stage: Stage, strips: Iterable[Pixels]) -> Iterator[Pixels]:
        """Count the time that it takes to draw strips towards `stage`."""
        iterator = iter(strips)
        while True:
            with self(stage):
                strip = next(iterator, None)
            if strip is None:
                return
            yield strip
