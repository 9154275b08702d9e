"""Where masks and composites get on their disk, while their worker computes the next photo."""

import os
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from itertools import takewhile
from queue import SimpleQueue
from threading import Thread
from typing import Self

from pipelines.errors import BanetError
from pipelines.ledger import LedgerRow
from pipelines.photo_failures import reason_of
from pipelines.photo_files import COMPOSITES, MASKS, RESULT_EXTENSIONS
from pipelines.photo_tasks import PhotoTask, TaskSettings
from pipelines.stage_clock import StageClock
from pipelines.storage import Location, RemotePath, path_in
from pipelines.whole_files import remove_file, write_atomically


@dataclass(kw_only=True)
class MadePhoto:
    """What a worker made of a photo, and still holds in memory.

    Attributes:
        photo: The task.
        read: Its row as far as the file is known; it counts as failed.
        row: Its row once all files are written.
        seconds: That it took so far.
        keeps_others: What earlier runs made of the photo is to stay, whatever the row says.
        files: Encoded, by their paths relative to the output folder; the mask comes last.
        memory: Its share of the process's memory.
    """

    photo: PhotoTask
    read: LedgerRow
    row: LedgerRow
    seconds: float = 0.0
    keeps_others: bool = False
    files: dict[str, bytes] = field(default_factory=dict)
    memory: ExitStack = field(default_factory=ExitStack)


class PhotoWriter:
    """Writes the results of one photo while the next one of the task is being made.

    A disk takes its time to say that a file will outlast a power cut, and no core should wait for
    it. An object serves one task, as a context. Like those that run tasks its thread is a daemon:
    a file system that never answers keeps no program from ending.

    Attributes:
        rows: Of the photos whose results were written, or could not be.
        clock: Of the thread that writes.
    """

    def __init__(self, settings: TaskSettings) -> None:
        self.rows: list[LedgerRow] = []
        self.clock = StageClock()
        self._settings = settings
        self._made: SimpleQueue[MadePhoto | None] = SimpleQueue()
        self._written: SimpleQueue[LedgerRow | BaseException] = SimpleQueue()
        self._is_writing = False

    def __enter__(self) -> Self:
        """Start."""
        Thread(target=self._write_all, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Begin nothing more."""
        self._made.put(None)

    def put(self, made: MadePhoto) -> None:
        """Begin to write, once the results of the photo before are written.

        Raises:
            BanetError: Those could not be, and nothing else can.
        """
        try:
            self.finish()
        except BanetError:
            made.memory.close()
            raise
        self._is_writing = True
        self._made.put(made)

    def finish(self) -> None:
        """Wait until all is written.

        Raises:
            BanetError: Nothing more can be written.
        """
        if not self._is_writing:
            return
        written = self._written.get()
        self._is_writing = False
        if isinstance(written, BaseException):
            raise written
        self.rows.append(written)

    def _write_all(self) -> None:
        while (made := self._made.get()) is not None:
            try:
                with made.memory:
                    written: LedgerRow | BaseException = self._finished(made)
            except BaseException as error:  # noqa: BLE001 # it is raised to who waits for it
                written = error
            self._written.put(written)

    def _finished(self, made: MadePhoto) -> LedgerRow:
        row, started = made.row, time.perf_counter()
        try:
            self._write(made.files)
        except Exception as error:  # noqa: BLE001 # one photo must never end the run
            reason = reason_of(error, row.source, self._settings, device=self._settings.device)
            row = replace(made.read, error=reason)
        finally:
            made.files.clear()
        if not made.keeps_others:
            self._remove_outdated(row, made.photo.stem)
        return replace(row, seconds=round(made.seconds + time.perf_counter() - started, 4))

    def _write(self, files: Mapping[str, bytes]) -> None:
        for path, content in files.items():
            with self.clock("write"):
                _make_folder(self._settings.out, path.rpartition("/")[0])
                write_atomically(path_in(self._settings.out, path), content)

    def _remove_outdated(self, row: LedgerRow, stem: str) -> None:
        """Delete what earlier runs made of a photo that failed now, or shows nobody any more.

        Their options may have been other ones, so that composites of every format are looked for.
        """
        if row.status == "ok":
            return
        paths = [f"{COMPOSITES}/{stem}{extension}" for extension in RESULT_EXTENSIONS]
        if row.status == "failed":
            paths.append(f"{MASKS}/{stem}.png")
        with self.clock("write"):
            for path in paths:
                # What is no folder holds no outdated files, and what cannot be deleted stays.
                with suppress(OSError):
                    remove_file(path_in(self._settings.out, path))


def _make_folder(out: Location, name: str) -> None:
    """Create a folder, and those above it one by one: they may be more than Python recurses."""
    if isinstance(out, RemotePath) or os.path.isdir(f"{out}/{name}"):  # noqa: PTH112 # see FilePath
        return  # behind URLs folders come with the files in them
    folder = out / name
    missing = list(takewhile(lambda path: not path.exists(), (folder, *folder.parents)))
    for path in reversed(missing):
        path.mkdir(exist_ok=True)
