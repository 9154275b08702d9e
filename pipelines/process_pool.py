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
from typing import Any, Generic, NamedTuple, TypeVar

from pipelines.errors import BanetError
from pipelines.interrupts import ignore_interrupts, interrupts_deferred

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
        self._started: list[_Worker] = []
        self._idle: list[_Worker] = []

    def map(self, function: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
        """Yield results in order of completion; each process has one task at a time."""
        return _ProcessResults(self, function, iter(tasks))

    def take(self) -> "_Worker":
        """Return a worker that has nothing to do.

        Raises:
            BanetError: It cannot be started.
        """
        if not self._idle:
            self._idle.append(_Worker())
            self._started.append(self._idle[-1])
        return self._idle.pop()

    def give_back(self, worker: "_Worker") -> None:
        """Let others use a worker."""
        self._idle.append(worker)

    def close(self) -> None:
        """End all workers."""
        for worker in self._started:
            worker.end()


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
            with interrupts_deferred():  # half a message would be of no use
                in_work = self._in_work.pop(pipe)
                try:
                    error, result = in_work.worker.receive()
                except EOFError:
                    self._do_again(in_work)
                    continue
                self._pool.give_back(in_work.worker)
            if error is not None:
                raise error
            return result
        raise StopIteration

    def _begin(self, task: Task, *, losses: int) -> None:
        with interrupts_deferred():
            worker = self._pool.take()
            worker.send(self._function, task)
            self._in_work[worker.pipe] = _InWork(worker, task, losses)

    def _do_again(self, lost: _InWork[Task]) -> None:
        """Give another worker what one had in work when it died.

        Raises:
            BanetError: That happened too often.
        """
        death = lost.worker.end()
        if lost.losses == MOST_LOSSES:
            raise BanetError(
                f"worker processes died {MOST_LOSSES + 1} times over the same work (of the last: "
                f"{death}); with fewer --workers there is more memory for each, and the same "
                "command goes on from there"
            )
        logger.warning("a worker process died (%s); what it had in work is done again", death)
        self._begin(lost.task, losses=lost.losses + 1)


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

    def send(self, function: Callable[[Task], Result], task: Task) -> None:
        """Give it a task; if it has died, `receive` says so."""
        message = pickle.dumps((function, task))
        with suppress(OSError):
            self.pipe.send_bytes(message)

    def receive(self) -> tuple[Exception | None, Any]:
        """Return what its task raised, and else returned.

        Raises:
            EOFError: It died.
        """
        try:
            message = self.pipe.recv_bytes()
        except OSError as error:
            raise EOFError from error
        return pickle.loads(message)  # noqa: S301 - from a process of ours

    def end(self) -> str:
        """End it, amid its work if need be, and say how it ended if it had already."""
        with suppress(OSError):
            self.pipe.close()
        self._process.kill()
        code = self._process.wait()
        return f"code {code}" if code >= 0 else signal.Signals(-code).name


def serve() -> None:
    """Be a worker: run tasks that come through a pipe until its other end is closed."""
    ignore_interrupts()
    logging.captureWarnings(capture=True)  # of packages; nobody wants them on standard error
    pipe = Connection(int(sys.argv[1]))
    messages: SimpleQueue[bytes] = SimpleQueue()

    def receive() -> None:
        while True:
            try:
                messages.put(pipe.recv_bytes())
            except (EOFError, OSError):
                os._exit(0)

    Thread(target=receive, daemon=True).start()
    while True:
        pipe.send_bytes(_outcome(messages.get()))


def _outcome(message: bytes) -> bytes:
    try:
        function, task = pickle.loads(message)  # noqa: S301 - from its driver
        return pickle.dumps((None, function(task)))
    except Exception as error:  # noqa: BLE001 # it is raised to whoever asked for the result
        error.add_note(f"In a worker process:\n{traceback.format_exc()}")
        return pickle.dumps((error, None))
