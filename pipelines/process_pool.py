"""Processes of this machine that run tasks, for work that Python itself has a large part in.

Threads of one process wait for each other to run Python; processes do not. They are forked from a
server that has imported what they need, and has no threads that would not survive it.
"""

import logging
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from itertools import islice
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from threading import Thread
from typing import Generic, TypeVar

from pipelines.errors import BanetError
from pipelines.interrupts import ignore_interrupts, interrupts_blocked

Task = TypeVar("Task")
Result = TypeVar("Result")

MOST_LOSSES = 3
"""So often a task is done again after a worker died; it may be what kills them."""

_HAS_SERVER = sys.platform == "linux"
"""Elsewhere what systems and packages have open does not survive a fork, and workers start anew."""

_CONTEXT = multiprocessing.get_context("forkserver" if _HAS_SERVER else "spawn")

logger = logging.getLogger(__name__)


def start_server(*modules: str) -> None:
    """Start what workers are forked from, unless it runs; it goes on while this process does.

    Args:
        modules: It imports these, so that workers need not.
    """
    if _HAS_SERVER:
        # Those of this thread are inherited: an interrupt is for the driver to act on.
        with interrupts_blocked(), _explained():
            _CONTEXT.set_forkserver_preload(list(modules))
            forkserver.ensure_running()


@contextmanager
def local_processes(
    count: int, *, window: int, modules: tuple[str, ...]
) -> Iterator["ProcessPool"]:
    """Open a pool of worker processes for the time of a `with` block.

    They end with it, or with this process if that is killed. An error that leaves the block, as
    another interrupt is, ends them amid their work.

    Args:
        count: Of processes; each runs one task at a time.
        window: Tasks in flight.
        modules: See `start_server`.

    Raises:
        BanetError: They cannot be started.
    """
    start_server(*modules)
    workers = _Workers(count)
    try:
        yield ProcessPool(workers, count=count, window=window)
    except BaseException:
        workers.close(at_once=True)
        raise
    workers.close()


class ProcessPool:
    """Runs tasks in processes of this machine; a `pipelines.parallel.Pool`."""

    def __init__(self, workers: "_Workers", *, count: int, window: int) -> None:
        self.workers = self.processes = count
        self._workers = workers
        self._window = window

    def map(self, function: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
        """Yield results in order of completion, with a bounded number of tasks in flight."""
        return _ProcessResults(self._workers, function, iter(tasks), window=self._window)


class _ProcessResults(Iterator[Result], Generic[Task, Result]):
    """The results of `ProcessPool.map`; no generator, since those end at the first interrupt."""

    def __init__(
        self,
        workers: "_Workers",
        function: Callable[[Task], Result],
        tasks: Iterator[Task],
        *,
        window: int,
    ) -> None:
        self._workers = workers
        self._function = function
        self._tasks = tasks
        self._window = window
        self._in_flight: dict[Future[Result], tuple[Task, int]] = {}
        """Tasks, and how many times workers died meanwhile."""

    def __next__(self) -> Result:
        # Before a result is taken, so that none is lost if drawing a task fails or is interrupted.
        for task in islice(self._tasks, self._window - len(self._in_flight)):
            self._submit(task, losses=0)
        while self._in_flight:
            done = wait(self._in_flight, return_when=FIRST_COMPLETED).done
            future = next(iter(done))
            if _is_lost(future):
                self._do_again()
            else:
                del self._in_flight[future]
                return future.result()
        raise StopIteration

    def _submit(self, task: Task, *, losses: int) -> None:
        try:
            future = self._workers.submit(self._function, task)
        except BrokenProcessPool as error:
            future = Future()
            future.set_exception(error)
        self._in_flight[future] = task, losses

    def _do_again(self) -> None:
        """Replace the workers, of which one died, and give them what was in work.

        Raises:
            BanetError: One died too often.
        """
        self._workers.replace()
        lost = {future: each for future, each in self._in_flight.items() if _is_lost(future)}
        if max(losses for _, losses in lost.values()) == MOST_LOSSES:
            raise BanetError(
                f"a worker process was killed {MOST_LOSSES + 1} times over the same work, most "
                "likely for want of memory (the system's log says so); use fewer --workers, and "
                "run the same command again, which goes on from there"
            )
        logger.warning("a worker process was killed; what it had in work is done again")
        for future, (task, losses) in lost.items():
            del self._in_flight[future]
            self._submit(task, losses=losses + 1)


class _Workers:
    """The processes, which are replaced when one dies."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._open()

    def _open(self) -> None:
        with _explained():
            watched, self._held = _CONTEXT.Pipe(duplex=False)
            self._executor = ProcessPoolExecutor(
                self._count, mp_context=_CONTEXT, initializer=_begin, initargs=(watched,)
            )

    def submit(self, function: Callable[[Task], Result], task: Task) -> "Future[Result]":
        """Give a task to the next worker that is free.

        Raises:
            BrokenProcessPool: One has died.
            BanetError: A worker that is needed cannot be started.
        """
        with interrupts_blocked(), _explained():  # which it may start
            return self._executor.submit(function, task)

    def close(self, *, at_once: bool = False) -> None:
        """End the processes.

        Args:
            at_once: Amid their work.
        """
        if at_once:
            self._held.close()
        self._executor.shutdown(cancel_futures=True)
        self._held.close()

    def replace(self) -> None:
        """End those that are left, and begin with new ones."""
        self.close(at_once=True)
        self._open()


def _begin(watched: Connection) -> None:
    """Prepare a worker.

    Args:
        watched: Nothing comes from there, and its end when the worker is to end.
    """
    ignore_interrupts()
    logging.captureWarnings(capture=True)  # of packages; nobody wants them on standard error

    def end_with_it() -> None:
        with suppress(EOFError, OSError):
            watched.recv_bytes()
        os._exit(1)

    Thread(target=end_with_it, daemon=True).start()


def _is_lost(future: "Future[Result]") -> bool:
    """Tell whether a future has ended, and without what its task returned or raised."""
    return future.done() and (
        future.cancelled() or isinstance(future.exception(), BrokenProcessPool)
    )


@contextmanager
def _explained() -> Iterator[None]:
    """Say what can be done where the system lets no process begin."""
    try:
        yield
    except (OSError, NotImplementedError) as error:  # the second where there are no semaphores
        raise BanetError(
            f"worker processes cannot be started ({error}); use --workers 0 to go without"
        ) from error
