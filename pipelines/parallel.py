"""Running many small tasks in parallel: with `dask_clusters` the only module that knows Dask.

Tasks and results stay small (paths and records, never pixels). They pass through a bounded
window, so that a million photos never make a million futures (dask/distributed#2181).
"""

import logging
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from itertools import islice
from time import monotonic
from typing import TYPE_CHECKING, Protocol, TypeVar

from dask.system import CPU_COUNT
from dask.utils import key_split

from pipelines.dask_clusters import existing_cluster, local_gpus, local_threads
from pipelines.errors import BanetError, ConfigError
from pipelines.interrupts import SAME_INTERRUPT_SECONDS, interrupts_deferred
from pipelines.process_pool import local_processes

if TYPE_CHECKING:
    import distributed

Task = TypeVar("Task")
Result = TypeVar("Result")

WINDOW_PER_WORKER = 2
"""Tasks in flight per worker thread: one running and one waiting, so that none waits for the
driver, and little is left to finish when a run is interrupted."""

REMOTE_WORKERS_PER_CORE = 4
"""Threads that read and write behind URLs spend more time waiting than computing."""

RESULTS_PER_CLEARING = 1000

logger = logging.getLogger(__name__)


class Pool(Protocol):
    """Somewhere to run tasks.

    Attributes:
        workers: Threads that run tasks; 0 if the caller's own thread does.
        processes: That run tasks and share the memory of one machine; of the machine with most.
    """

    workers: int
    processes: int

    def map(self, function: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
        """Yield the result of every task in order of completion; tasks are drawn as needed.

        An exception that a task raises is raised here. `function` must be importable by its
        name where workers are other processes. After an interrupt (an exception that comes
        from outside while a result is awaited) the iterator goes on with the tasks in flight.

        Raises:
            BanetError: The workers are gone.
        """


@contextmanager
def open_pool(
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    gpus: int = 0,
    apart: bool = False,
) -> Iterator[Pool]:
    """Open a pool of workers for the time of a `with` block.

    Args:
        workers: Local workers, which are threads of this process: None for one per available core,
            0 to run every task in the calling thread.
        scheduler: Address of an existing Dask scheduler, such as `tcp://host:8786`; `workers`
            is then ignored, since the cluster has its own.
        gpus: So many processes share the local workers, each with a GPU of its own, which it knows
            as `cuda:0`; 0 for threads of this process. Needs `has_dask_cuda`.
        apart: Local workers are processes instead of threads of this one, where the system lets
            processes have pipes of others, as all but Windows do.

    Raises:
        ConfigError: `workers` is negative.
        InputError: The scheduler does not answer.
    """
    if scheduler is not None:
        with existing_cluster(scheduler) as client:
            threads = client.nthreads()
            yield DaskPool(client, workers=sum(threads.values()), processes=_most_together(threads))
        return
    if workers is not None and workers < 0:
        raise ConfigError(f"--workers {workers}: use 0 for none or a positive number")
    count = available_cores() if workers is None else workers
    if count == 0:
        yield SynchronousPool()
        return
    if gpus > 0:
        threads_each = max(1, count // gpus)
        with local_gpus(gpus, threads=threads_each) as client:
            yield DaskPool(client, workers=gpus * threads_each, processes=gpus)
        return
    if apart and os.name == "posix":
        with local_processes(count) as pool:
            yield pool
        return
    with local_threads(count) as client:
        yield DaskPool(client, workers=count, processes=1)


def _most_together(addresses: Iterable[str]) -> int:
    """Return how many of the workers at some addresses are on one machine at most."""
    from distributed.comm.addressing import get_address_host

    return max(Counter(map(get_address_host, addresses)).values())


def tell_of_wait() -> None:
    """Say why a run does not end at once."""
    logger.info("waiting for what is in work; another interrupt ends the wait")


def take_in_flight(
    results: Iterator[Result],
    take: Callable[[Result], None],
    *,
    at_first: Callable[[], None] | None = None,
) -> None:
    """Wait for the tasks in flight when a run ends early; another interrupt ends the wait.

    Args:
        results: Of `Pool.map`, which is given no more tasks.
        take: Is given each.
        at_first: Called before.
    """
    stopped = monotonic()
    while True:
        try:
            if at_first is not None:
                say, at_first = at_first, None
                say()
            for result in results:
                take(result)
        except KeyboardInterrupt:
            if monotonic() - stopped > SAME_INTERRUPT_SECONDS:
                raise
        except BanetError:  # of another task; what ended the run is the error to tell of
            continue
        else:
            return


def available_cores() -> int:
    """Return the number of processors that affinity and quotas leave this process, at least 1."""
    return CPU_COUNT


def has_dask_cuda() -> bool:
    """Tell whether the extra `cuda` is installed, by which several GPUs can be used at once."""
    try:
        import_module("dask_cuda")  # which fails where it is installed without those of CUDA
    except ImportError:
        return False
    return True


def available_memory(*, processes: int = 1) -> int:
    """Return the bytes of memory that the process of the calling task may use.

    Limits of containers are considered, and that of a worker of Dask, who kills the process or
    gives it no more tasks before it reaches it.

    Args:
        processes: That share the memory of this machine.
    """
    from distributed.system import MEMORY_LIMIT

    worker = _dask_worker()
    own_limit = None if worker is None else worker.memory_manager.memory_limit
    return min(MEMORY_LIMIT // processes, own_limit or MEMORY_LIMIT)


def worker_threads() -> int:
    """Return how many tasks the process of the calling task works on at the same time."""
    worker = _dask_worker()
    return 1 if worker is None else worker.state.nthreads


def _dask_worker() -> "distributed.Worker | None":
    """Return the worker that runs the calling task; None if it is none of Dask's."""
    from distributed import get_worker

    try:
        return get_worker()
    except ValueError:
        return None


class SynchronousPool:
    """Runs every task in the calling thread, in order; an interrupt waits for the end of one."""

    workers = 0
    processes = 1

    def map(self, function: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
        """Yield the result of each task in turn."""
        return _OwnResults(function, iter(tasks))


class _OwnResults(Iterator[Result]):
    """The results of `SynchronousPool.map`."""

    def __init__(self, function: Callable[[Task], Result], tasks: Iterator[Task]) -> None:
        self._function = function
        self._tasks = tasks
        self._done: list[Result] = []

    def __next__(self) -> Result:
        if not self._done:
            task = next(self._tasks)
            with interrupts_deferred(patience=SAME_INTERRUPT_SECONDS, at_first=tell_of_wait):
                self._done.append(self._function(task))
        return self._done.pop()


class DaskPool:
    """Runs tasks on the workers of a Dask cluster, local or remote."""

    def __init__(self, client: "distributed.Client", *, workers: int, processes: int) -> None:
        self.workers = workers
        self.processes = processes
        self._client = client

    def map(self, function: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
        """Yield results in order of completion, with a bounded number of tasks in flight."""
        window = self.workers * WINDOW_PER_WORKER
        return _DaskResults(self._client, function, iter(tasks), window=window)


class _DaskResults(Iterator[Result]):
    """The results of `DaskPool.map`; no generator, since those end at the first interrupt."""

    def __init__(
        self,
        client: "distributed.Client",
        function: Callable[[Task], Result],
        tasks: Iterator[Task],
        *,
        window: int,
    ) -> None:
        from distributed import as_completed

        self._client = client
        self._function = function
        self._tasks = tasks
        self._window = window
        self._completed = as_completed()
        self._taken = 0

    def _fill_window(self) -> None:
        for task in islice(self._tasks, self._window - self._completed.count()):
            self._completed.add(self._client.submit(self._function, task, pure=False))

    def __next__(self) -> Result:
        from distributed import KilledWorker
        from distributed.client import FutureCancelledError
        from distributed.comm.core import CommClosedError

        # Before a result is taken, so that none is lost if drawing a task fails or is interrupted.
        self._fill_window()
        future = next(self._completed)
        try:
            result: Result = future.result()
        except (KilledWorker, FutureCancelledError, CommClosedError) as error:
            raise BanetError(
                f"the Dask cluster lost the workers or the tasks of this run ({error}); look "
                "into the workers' logs, then run the same command again"
            ) from error
        future.release()
        self._taken += 1
        if self._taken % RESULTS_PER_CLEARING == 0:
            key_split.cache_clear()  # which else holds the names of the last 100,000 tasks
        return result
