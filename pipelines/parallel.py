"""Running many small tasks in parallel: the only module that knows Dask.

Tasks and results stay small (paths and records, never pixels). They pass through a bounded
window, so that a million photos never make a million futures (dask/distributed#2181).
"""

import logging
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from itertools import islice
from pkgutil import resolve_name
from time import monotonic
from typing import TYPE_CHECKING, Protocol, TypeVar

import dask
from dask.system import CPU_COUNT
from dask.utils import key_split

from pipelines import __version__
from pipelines.errors import BanetError, ConfigError, InputError
from pipelines.interrupts import ignore_interrupts, interrupts_deferred

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

CONNECT_SECONDS = 20

SAME_INTERRUPT_SECONDS = 1.0
"""Interrupts so close together are one: `timeout`, for instance, sends each signal twice."""

SWITCH_SECONDS = 0.001
"""For so long a thread may go on in Python while others wait. Worker threads compute outside of it,
and need it for a moment between two steps; five milliseconds, the default, are longer than most
of these, and the core is idle meanwhile."""

_NODE = {
    # Of the extensions none is needed; "spans" remembers every task for good.
    "extensions": {},
    # Dask insists on a web server. It has no pages, any free port, and nobody elsewhere reaches it.
    "dashboard": False,
    "dashboard_address": "127.0.0.1:0",
}
"""Options of schedulers, and of the workers in their process."""

_LOCAL_SETTINGS = {
    # Fifty ticks per second of each node, and samples of what every thread does, took 6 % of
    # a core, whether there was work or not.
    "distributed.admin.tick.interval": "1 s",
    "distributed.admin.tick.limit": "1 h",
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
    # What nobody here looks at, and what took more memory the longer a run lasted.
    "distributed.worker.profile.enabled": False,
    "distributed.admin.low-level-log-length": 10,
    "distributed.admin.system-monitor.interval": "10 s",
    "distributed.admin.system-monitor.log-length": 10,
    "distributed.admin.system-monitor.gil.enabled": False,
    "distributed.diagnostics.computations.max-history": 1,
    "distributed.diagnostics.erred-tasks.max-history": 1,
}
"""Of clusters of this machine, whose worker processes inherit them."""

_CLUSTER_HINT = (
    "install the same version of banet for the scheduler and every worker, and let all of them "
    "reach photos, weights and output folder under the same paths"
)

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
    *, workers: int | None = None, scheduler: str | None = None, gpus: int = 0
) -> Iterator[Pool]:
    """Open a pool of workers for the time of a `with` block.

    Args:
        workers: Local worker threads: None for one per available core, 0 to run every task
            in the calling thread.
        scheduler: Address of an existing Dask scheduler, such as `tcp://host:8786`; `workers`
            is then ignored, since the cluster has its own.
        gpus: So many processes share the local workers, each with a GPU of its own, which it knows
            as `cuda:0`; 0 for threads of this process. Needs `has_dask_cuda`.

    Raises:
        ConfigError: `workers` is negative.
        InputError: The scheduler does not answer.
    """
    if scheduler is not None:
        with _connect(scheduler) as pool:
            yield pool
        return
    if workers is not None and workers < 0:
        raise ConfigError(f"--workers {workers}: use 0 for none or a positive number")
    count = available_cores() if workers is None else workers
    if count == 0:
        yield SynchronousPool()
        return
    if gpus > 0:
        with _local_gpus(gpus, threads=max(1, count // gpus)) as pool:
            yield pool
        return
    with _local_threads(count) as pool:
        yield pool


def tell_of_wait() -> None:
    """Say why a run does not end at once."""
    logger.info("waiting for what is in work; another interrupt ends the wait")


def take_in_flight(results: Iterator[Result], take: Callable[[Result], None]) -> None:
    """Wait for the tasks in flight when a run ends early; another interrupt ends the wait.

    Args:
        results: Of `Pool.map`, which is given no more tasks.
        take: Is given each.
    """
    stopped = monotonic()
    while True:
        try:
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


@contextmanager
def _local_threads(count: int) -> Iterator[DaskPool]:
    from distributed import Client, Scheduler, SpecCluster, Worker

    node = {"protocol": "inproc://", **_NODE}
    # A memory limit would pause the only worker for good once torch alone exceeds its share.
    worker = {"cls": Worker, "options": {**node, "nthreads": count, "memory_limit": 0}}
    with (
        dask.config.set(_LOCAL_SETTINGS),
        _quiet_about_tasks(),
        _quick_switches(),
        SpecCluster(
            scheduler={"cls": Scheduler, "options": node},
            workers={0: worker},
            silence_logs=logging.ERROR,
        ) as cluster,
        Client(cluster) as client,
    ):
        yield DaskPool(client, workers=count, processes=1)


@contextmanager
def _local_gpus(gpus: int, *, threads: int) -> Iterator[DaskPool]:
    """Open a process with some threads for each of the first GPUs that this process sees.

    A signal that stops the run reaches all its processes, from a terminal as from a service
    manager. It is this one that reacts to it, and takes what the others have in work.
    """
    from dask_cuda import LocalCUDACluster
    from distributed import Client

    # Tasks and results are small: nothing of them is ever to be moved out of memory, or to a GPU.
    with (
        dask.config.set(_LOCAL_SETTINGS),
        LocalCUDACluster(
            n_workers=gpus,
            threads_per_worker=threads,
            memory_limit=None,
            device_memory_limit=None,
            extensions=_NODE["extensions"],
            scheduler_kwargs=_NODE,
            silence_logs=logging.ERROR,
        ) as cluster,
        Client(cluster) as client,
    ):
        client.run(ignore_interrupts)
        client.run(sys.setswitchinterval, SWITCH_SECONDS)
        yield DaskPool(client, workers=gpus * threads, processes=gpus)


@contextmanager
def _quick_switches() -> Iterator[None]:
    """Let threads of this process wait less for each other."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


@contextmanager
def _quiet_about_tasks() -> Iterator[None]:
    """Keep Dask from logging what tasks raise, since it is raised to whoever asked for them."""
    worker = logging.getLogger("distributed.worker")
    level = worker.level
    worker.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        worker.setLevel(level)


@contextmanager
def _connect(address: str) -> Iterator[DaskPool]:
    from distributed import Client
    from distributed.comm.addressing import get_address_host

    try:
        client = Client(address, timeout=CONNECT_SECONDS)
    except (OSError, ValueError) as error:
        raise InputError(
            f"--scheduler {address}: no Dask scheduler answers there ({error}); start one with "
            "`dask scheduler`, or leave the option out to use this machine"
        ) from error
    with client:
        threads = client.nthreads()
        if not threads:
            raise InputError(
                f"--scheduler {address}: the cluster has no workers; start one with "
                f"`dask worker {address}`"
            )
        _require_banet(client)
        per_machine = Counter(map(get_address_host, threads))
        yield DaskPool(client, workers=sum(threads.values()), processes=max(per_machine.values()))


def _require_banet(client: "distributed.Client") -> None:
    """Make sure that the scheduler and all workers can take tasks of this program.

    A worker that cannot import a task does not answer at all, so each is asked beforehand, by
    means of a function that every Python has.

    Raises:
        BanetError: One of them lacks banet, or has another version.
    """
    question = "pipelines:__version__"
    try:
        found = {
            "scheduler": client.run_on_scheduler(resolve_name, question),
            **{f"worker {name}": has for name, has in client.run(resolve_name, question).items()},
        }
    except (ImportError, AttributeError) as error:
        raise BanetError(
            f"--scheduler: the cluster cannot run banet ({error}); {_CLUSTER_HINT}"
        ) from error
    for name, version in found.items():
        if version != __version__:
            raise BanetError(
                f"--scheduler: the {name} has banet {version}, this is {__version__}; "
                f"{_CLUSTER_HINT}"
            )
