"""A file that grows where nothing can be appended to: numbered parts beside it, until it is folded.

`results.jsonl` is followed by `results.jsonl.000001` and so on. Each part is written once. What
the parts hold is newer than the file, and newer the higher their number is.
"""

import logging
import re
from collections.abc import Callable
from operator import itemgetter
from time import monotonic, sleep

from pipelines.storage import RemotePath

SECONDS_BETWEEN_PARTS = 30.0
"""How much work a run that is killed may have to repeat, against one write."""

PATIENCE_SECONDS = 600.0
"""How long the store may refuse the parts until the run ends."""

SECONDS_BETWEEN_TRIES = 10.0
"""Between two tries of what a run cannot go on without."""

_NUMBER = re.compile(r"\.(\d{6,})", re.ASCII)

logger = logging.getLogger(__name__)


def read_log(path: RemotePath) -> bytes:
    """Return the content of a file and of the parts beside it, in order.

    Raises:
        OSError: It cannot be read. FileNotFoundError if there is neither file nor part.
    """
    parts = _parts(path)
    try:
        contents = [path.read_bytes()]
    except FileNotFoundError:
        if not parts:
            raise
        contents = []
    contents += [part.read_bytes() for _, part in parts]
    return b"".join(each if not each or each.endswith(b"\n") else each + b"\n" for each in contents)


def remove_parts(path: RemotePath) -> None:
    """Delete the parts beside a file that holds by now what they hold.

    The oldest go first, so that those that are left if the run dies are still the newest.
    """
    for _, part in _parts(path):
        part.unlink(missing_ok=True)


class ObjectLog:
    """Collects lines and writes them as parts; for one process at a time.

    Args:
        path: Of the file, beside which there is no part.
    """

    def __init__(self, path: RemotePath) -> None:
        self._path = path
        self._waiting: list[bytes] = []
        self._number = 1
        self._tried = monotonic()
        self._refused_since: float | None = None

    def write(self, line: bytes) -> None:
        """Take a line, and write a part if the last one was written a while ago.

        Raises:
            OSError: No part could be written for a long time.
        """
        self._waiting.append(line)
        self.write_due()

    def write_due(self) -> None:
        """Write what is waiting if the last part was written a while ago.

        Raises:
            OSError: No part could be written for a long time.
        """
        if monotonic() - self._tried >= SECONDS_BETWEEN_PARTS:
            self._is_written()

    def write_now(self, *, before_each_try: Callable[[], None]) -> None:
        """Write what is waiting; where the store refuses that, wait until it no longer does.

        Args:
            before_each_try: Raises what is to end the waiting.

        Raises:
            OSError: No part could be written for a long time.
        """
        before_each_try()
        while not self._is_written():
            sleep(SECONDS_BETWEEN_TRIES)
            before_each_try()

    def sync(self) -> None:
        """Write what is waiting.

        Raises:
            OSError: It cannot be written; it waits on.
        """
        self._tried = monotonic()
        if self._waiting:
            part = self._path.with_name(f"{self._path.name}.{self._number:06}")
            part.write_bytes(b"".join(self._waiting))
            self._number += 1
            self._waiting.clear()
        self._refused_since = None

    def _is_written(self) -> bool:
        """Try to write what is waiting, and tell whether that went well.

        Raises:
            OSError: It has not for a long time.
        """
        now = monotonic()
        try:
            self.sync()
        except OSError as error:
            if self._refused_since is None:
                self._refused_since = now
            if now - self._refused_since > PATIENCE_SECONDS:
                raise
            logger.warning("%s: %s; it is tried again", error.filename, error.strerror)
            return False
        return True

    def close(self) -> None:
        """Forget what is waiting, which the file is about to hold."""
        self._waiting.clear()


def _parts(path: RemotePath) -> list[tuple[int, RemotePath]]:
    """Return the parts beside a file with their numbers, in order."""
    return sorted(
        (
            (int(match[1]), part)
            for part in path.parent.glob(f"{path.name}.*")
            if (match := _NUMBER.fullmatch(part.name.removeprefix(path.name)))
        ),
        key=itemgetter(0),
    )
