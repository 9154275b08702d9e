"""Processes of this machine that run tasks, for work that Python itself has a large part in.

Threads of one process wait for each other to run Python; processes do not. Each is a Python of its
own with a pipe to its driver, and shares nothing with the others: no lock, no queue, no server that
one that is killed could leave in disorder.
"""

import logging
import os
import pickle
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, Pipe, wait
from queue import SimpleQueue
from threading import Thread
from typing import Generic, NamedTuple, TypeVar

from pipelines.errors import BanetError
from pipelines.interrupts import (
    SAME_INTERRUPT_SECONDS,
    ignore_interrupts,
    interrupts_deferred,
)

Task = TypeVar("Task")
Result = TypeVar("Result")

MOST_LOSSES = 3
"""So often a task is done again whose worker died; it may be what kills them."""

_SERVE = "import sys; sys.path[:] = sys.argv[2:]; from pipelines.process_pool import serve; serve()"
"""What a worker runs; it finds packages where its driver does, and nowhere else."""

logger = logging.getLogger(__name__)


@contextmanager
def local_processes(count: int) -> Iterator["ProcessPool"]:
    """Open a pool of up to so many worker processes for the time of a `with` block.

    They start as they are needed, and end with the block, or with this process if that is killed;
    what they have in work then is given up.
    """
    pool = ProcessPool(count)
    try:
        yield pool
    finally:
        pool.close()


class ProcessPool:
    """Runs tasks in processes of this machine; a `pipelines.parallel.Pool`."""

    def __init__(self, count: int) -> None:
        self.workers = self.processes = count
        self._started: set[_Worker] = set()
        self._idle: list[_Worker] = []

    def map(self, function: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
        """Yield results in order of completion; each process has one task at a time."""
        return _ProcessResults(self, function, iter(tasks))

    def take(self) -> "_Worker":
        """Return a worker that has nothing to do.

        Raises:
            BanetError: It cannot be started.
        """
        while self._idle:
            worker = self._idle.pop()
            if worker.is_alive():
                return worker
            self.end(worker)
        worker = _Worker()
        self._started.add(worker)
        return worker

    def give_back(self, worker: "_Worker") -> None:
        """Let others use a worker."""
        self._idle.append(worker)

    def end(self, worker: "_Worker") -> str:
        """End a worker, amid its work if need be, and say how it ended if it had already."""
        self._started.discard(worker)
        return worker.end()

    def close(self) -> None:
        """End all workers."""
        with interrupts_deferred(patience=SAME_INTERRUPT_SECONDS):
            for worker in list(self._started):
                self.end(worker)


class _InWork(NamedTuple, Generic[Task]):
    worker: "_Worker"
    task: Task
    losses: int


class _ProcessResults(Iterator[Result], Generic[Task, Result]):
    """The results of `ProcessPool.map`; no generator, since those end at the first interrupt."""

    def __init__(
        self, pool: ProcessPool, function: Callable[[Task], Result], tasks: Iterator[Task]
    ) -> None:
        self._pool = pool
        self._function = function
        self._tasks = tasks
        self._in_work: dict[Connection, _InWork[Task]] = {}

    def __next__(self) -> Result:
        # Before a result is taken, so that none is lost if drawing a task fails or is interrupted.
        while len(self._in_work) < self._pool.workers:
            try:
                task = next(self._tasks)
            except StopIteration:
                break
            self._begin(task, losses=0)
        while self._in_work:
            pipe = wait(self._in_work)[0]
            assert isinstance(pipe, Connection)
            # Half a message would be of no use.
            with interrupts_deferred(patience=SAME_INTERRUPT_SECONDS):
                in_work = self._in_work.pop(pipe)
                try:
                    message = in_work.worker.receive()
                except _DeadError:
                    self._do_again(in_work)
                    continue
                self._pool.give_back(in_work.worker)
            error, result = pickle.loads(message)  # noqa: S301 - from a process of ours
            if error is not None:
                raise error
            return result
        raise StopIteration

    def _begin(self, task: Task, *, losses: int) -> None:
        message = pickle.dumps((self._function, task))
        with interrupts_deferred(patience=SAME_INTERRUPT_SECONDS):
            worker = self._pool.take()
            worker.send(message)
            self._in_work[worker.pipe] = _InWork(worker, task, losses)

    def _do_again(self, lost: _InWork[Task]) -> None:
        """Give another worker what one had in work when it died.

        Raises:
            BanetError: That happened too often.
        """
        death = self._pool.end(lost.worker)
        if lost.losses == MOST_LOSSES:
            raise BanetError(
                f"worker processes died {MOST_LOSSES + 1} times over the same work, the last of "
                f"{death}; systems that run out of memory send SIGKILL, and fewer --workers need "
                "less; the same command goes on from there"
            )
        logger.warning("a worker process died of %s; what it had in work is done again", death)
        self._begin(lost.task, losses=lost.losses + 1)


class _DeadError(Exception):
    """A worker is."""


class _Worker:
    """A process, as its driver sees it.

    Raises:
        BanetError: It cannot be started.
    """

    def __init__(self) -> None:
        try:
            self.pipe, theirs = Pipe()
            with theirs:
                self._process = subprocess.Popen(  # noqa: S603 - a command of ours
                    [sys.executable, "-c", _SERVE, str(theirs.fileno()), *sys.path],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,  # which is for the result of the command
                    start_new_session=True,  # an interrupt of the terminal is for the driver
                )
        except OSError as error:
            raise BanetError(
                f"a worker process cannot be started ({error}); use --workers 0 to go without"
            ) from error

    def is_alive(self) -> bool:
        """Tell whether it can do anything."""
        return self._process.poll() is None

    def send(self, message: bytes) -> None:
        """Give it function and task; if it has died, `receive` says so."""
        with suppress(OSError):
            self.pipe.send_bytes(message)

    def receive(self) -> bytes:
        """Return what its task raised, if it did, and what it returned.

        Raises:
            _DeadError: It died.
        """
        try:
            return self.pipe.recv_bytes()
        except (EOFError, OSError) as error:
            raise _DeadError from error

    def end(self) -> str:
        """End it, amid its work if need be, and say how it ended if it had already."""
        with suppress(OSError):
            self.pipe.close()
        self._process.kill()
        code = self._process.wait()
        return f"exit code {code}" if code >= 0 else signal.Signals(-code).name


def serve() -> None:
    """Be a worker: run tasks that come through a pipe until its other end is closed."""
    ignore_interrupts()
    # What packages say is nothing for standard error, which is for messages of the driver.
    logging.captureWarnings(capture=True)
    logging.getLogger().addHandler(logging.NullHandler())
    pipe = Connection(int(sys.argv[1]))
    messages: SimpleQueue[bytes] = SimpleQueue()

    def receive() -> None:
        try:
            while True:
                messages.put(pipe.recv_bytes())
        finally:  # at the end of the pipe, whatever is in work
            os._exit(0)

    Thread(target=receive, daemon=True).start()
    while True:
        pipe.send_bytes(_outcome(messages.get()))


def _outcome(message: bytes) -> bytes:
    try:
        function, task = pickle.loads(message)  # noqa: S301 - from its driver
        return pickle.dumps((None, function(task)))
    except BaseException as error:  # noqa: BLE001 # it is raised to whoever asked for the result
        error.add_note(f"In a worker process:\n{traceback.format_exc()}")
        return pickle.dumps((_sendable(error), None))


def _sendable(error: BaseException) -> Exception:
    """Return an error, or what stands for one that means something else elsewhere, or gets lost."""
    with suppress(Exception):
        if isinstance(error, Exception) and not isinstance(error, StopIteration):
            pickle.loads(pickle.dumps(error))  # noqa: S301 - of our own
            return error
    substitute = RuntimeError(f"{type(error).__name__}: {error}")
    substitute.add_note(error.__notes__[-1])
    return substitute
