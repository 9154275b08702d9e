"""The Dask clusters that tasks run on: threads and GPUs of this machine, and clusters of others.

A part of `pipelines.parallel`.
"""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pkgutil import resolve_name
from typing import TYPE_CHECKING

import dask

from pipelines import __version__
from pipelines.errors import BanetError, InputError
from pipelines.interrupts import ignore_interrupts

if TYPE_CHECKING:
    import distributed

CONNECT_SECONDS = 20

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


@contextmanager
def local_threads(count: int) -> Iterator["distributed.Client"]:
    """Open a cluster of so many threads of this process."""
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
        yield client


@contextmanager
def local_gpus(gpus: int, *, threads: int) -> Iterator["distributed.Client"]:
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
        yield client


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
def existing_cluster(address: str) -> Iterator["distributed.Client"]:
    """Connect to a cluster whose scheduler is at an address, and make sure that it can run banet.

    Raises:
        InputError: The scheduler does not answer, or has no workers.
        BanetError: The scheduler or a worker lacks banet, or has another version.
    """
    from distributed import Client

    try:
        client = Client(address, timeout=CONNECT_SECONDS)
    except (OSError, ValueError) as error:
        raise InputError(
            f"--scheduler {address}: no Dask scheduler answers there ({error}); start one with "
            "`dask scheduler`, or leave the option out to use this machine"
        ) from error
    with client:
        if not client.nthreads():
            raise InputError(
                f"--scheduler {address}: the cluster has no workers; start one with "
                f"`dask worker {address}`"
            )
        _require_banet(client)
        yield client


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
