"""A cluster of Dask on this machine, for tests that kill parts of it."""

import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from processes import started, wait_until


class Cluster:
    """A scheduler and two workers, each a process of its own."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        folder.mkdir()
        file = folder / "scheduler.json"
        names = ("--no-dashboard", "--scheduler-file", str(file))
        start = (sys.executable, "-m", "dask")
        log = folder / "log"
        scheduler = (*start, "scheduler", "--host", "127.0.0.1", "--port", "0", *names)
        self.scheduler = stack.enter_context(started(*scheduler, log=log))
        assert wait_until(file.exists, self.scheduler)
        worker = (*start, "worker", "--nthreads", "1", *names, "--local-directory", str(folder))
        self.workers = [
            stack.enter_context(started(*worker, "--nworkers", "1", log=log)) for _ in range(2)
        ]
        self.log = log
        self.address = json.loads(file.read_text())["address"]
        assert wait_until(lambda: log.read_text().count("Registered to:") >= 2), log.read_text()


@contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    with ExitStack() as stack:
        yield Cluster(stack, folder)
