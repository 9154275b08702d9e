"""What a worker does with one task of `banet segment`: a few photos from file to files."""

import errno
import hashlib
import logging
import os
import time
from contextlib import suppress
from dataclasses import replace
from itertools import takewhile

import numpy as np
import torch
from numpy.typing import NDArray

from pipelines.devices import is_out_of_memory
from pipelines.encoding import ImageFormat, Strips, encode
from pipelines.engines import Engine
from pipelines.errors import BanetError, MissingFileError, OutOfReachError, PhotoError
from pipelines.images import Pixels, decode_photo, read_header
from pipelines.inference import confidence, coverage, limit_threads
from pipelines.ledger import LedgerRow
from pipelines.photo_files import COMPOSITES, MASKS, RESULT_EXTENSIONS
from pipelines.photo_memory import memory_of_photo
from pipelines.photo_results import composite_of, full_mask, least_side
from pipelines.photo_tasks import BatchResult, BatchTask, PhotoTask, TaskSettings
from pipelines.stage_clock import StageClock
from pipelines.storage import FilePath, Location, RemotePath, Status, path_in, status_of
from pipelines.whole_files import read_bytes, refuse_large_file, remove_file, write_atomically
from pipelines.worker_process import open_engine, process_memory

EMPTY_BELOW = 0.001
"""A photo whose portrait share is below this is `empty`.

At a working size of 512 that is fewer than 200 pixels, an area of 14 x 14, in which the network,
whose deepest features have a pixel for every 32 x 32, cannot know a person from a speck.
"""

_NO_MORE_WRITING = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})

logger = logging.getLogger(__name__)


def segment_batch(task: BatchTask) -> BatchResult:
    """Segment some photos and write their masks and composites. What fails is recorded.

    Raises:
        BanetError: The worker lacks weights or device.
    """
    settings = task.settings
    if settings.threads is not None:
        limit_threads(settings.threads)
    worker = _PhotoWorker(settings, open_engine(settings))
    rows: list[LedgerRow] = []
    unchanged: list[LedgerRow] = []
    vanished: list[str] = []
    ended_by: BanetError | None = None
    undone: tuple[str, ...] = ()
    for number, photo in enumerate(task.photos):
        try:
            row = worker.segment_file(photo)
        except MissingFileError:
            vanished.append(photo.source)
            continue
        except BanetError as error:
            ended_by = error
            undone = tuple(each.source for each in task.photos[number + 1 :])
            break
        is_known = photo.known is not None and row.sha256 == photo.known.sha256
        (unchanged if is_known else rows).append(row)
    return BatchResult(
        rows=tuple(rows),
        unchanged=tuple(unchanged),
        vanished=tuple(vanished),
        ended_by=ended_by,
        undone=undone,
        stages=dict(worker.clock.seconds),
        waits=dict(worker.clock.waits),
    )


class _PhotoWorker:
    """Segments photo files one after the other, and counts the CPU time."""

    def __init__(self, settings: TaskSettings, engine: Engine) -> None:
        self.clock = StageClock()
        self._settings = settings
        self._engine = engine
        self._memory = process_memory(settings)
        self._least_side = least_side(settings, size=settings.size)

    def segment_file(self, photo: PhotoTask) -> LedgerRow:
        """Segment one photo; the row has the hash of `photo.known` only if that row still holds.

        Raises:
            MissingFileError: The photo is gone, and photos are being watched.
            BanetError: Nothing more can be written.
        """
        started = time.perf_counter()
        row = LedgerRow(
            source=photo.source,
            status="failed",
            seconds=0.0,
            fingerprint=self._settings.fingerprint,
        )
        try:
            with self.clock("read"):
                status = photo.status or _examine(path_in(self._settings.root, photo.source))
            row = replace(row, size=status.size, mtime_ns=status.mtime_ns, etag=status.etag)
            refuse_large_file(status.size)
            needed, is_done = status.size, False
            while not is_done:
                with self._memory.taken(needed) as share:
                    row, content = self._read(row)
                    if photo.known is not None and photo.known.sha256 == row.sha256:
                        return replace(
                            photo.known, size=row.size, mtime_ns=row.mtime_ns, etag=row.etag
                        )
                    with self.clock("decode"):
                        header = read_header(content, reduced_to=self._least_side)
                    needed = len(content) + memory_of_photo(header, self._settings)
                    # Where there is not enough at once, the file is read again once there is.
                    is_done = self._memory.grow(share, needed)
                    if is_done:
                        row = self._segment_content(row, content, photo.stem)
                    del content
        except Exception as error:  # noqa: BLE001 # one photo must never end the run
            row = replace(row, error=self._reason(error, photo))
            if isinstance(error, OutOfReachError):  # a network may be down; the results may hold
                return replace(row, seconds=round(time.perf_counter() - started, 4))
        self._remove_outdated(row, photo.stem)
        return replace(row, seconds=round(time.perf_counter() - started, 4))

    def _reason(self, error: Exception, photo: PhotoTask) -> str:
        """Return why a photo failed, for its row.

        Raises:
            MissingFileError: It is gone, and photos are being watched.
            BanetError: No photo can be segmented, or nothing written, any more.
        """
        match error:
            case MissingFileError() if self._settings.watching:
                raise error
            case PhotoError():
                return str(error)
            case BanetError():
                raise error
            case torch.OutOfMemoryError():  # of a GPU, where all photos take as much
                return (
                    f"not enough memory on {self._engine.device}, even for one photo at a time; "
                    "end what else uses it, or take a smaller --size"
                )
            case OSError():
                _stop_if_nothing_can_be_written(error, self._settings.out)
                return f"cannot be written: {error.strerror or error}"
        if is_out_of_memory(error):
            return "not enough memory for a photo of this size"
        logger.error("%s: unexpected error", photo.source, exc_info=error)
        return f"unexpected {type(error).__name__}: {error}"

    def _read(self, row: LedgerRow) -> tuple[LedgerRow, bytes]:
        with self.clock("read"):
            content = read_bytes(path_in(self._settings.root, row.source))
            return replace(row, sha256=hashlib.sha256(content).hexdigest()), content

    def _segment_content(self, row: LedgerRow, content: bytes, stem: str) -> LedgerRow:
        settings = self._settings
        with self.clock("decode"):
            photo = decode_photo(content, reduced_to=self._least_side)
        probability, small = self._probability(photo.pixels)
        with self.clock("mask"):
            share, certainty = (
                coverage(probability, threshold=settings.threshold),
                confidence(probability),
            )
        is_empty = share < EMPTY_BELOW
        mask = (
            np.zeros((photo.height, photo.width), np.uint8)
            if is_empty
            else full_mask(probability, photo, small, settings, self.clock)
        )
        row = replace(
            row,
            status="empty" if is_empty else "ok",
            mask=f"{MASKS}/{stem}.png",
            width=photo.width,
            height=photo.height,
            coverage=round(share, 6),
            confidence=round(certainty, 6),
            note=photo.note,
        )
        if settings.composite != "none" and not is_empty:
            row = replace(row, composite=f"{COMPOSITES}/{stem}.{settings.composite_format}")
        icc_profile, composite = photo.icc_profile, None
        if row.composite is not None:
            composite = composite_of(photo, mask, settings, self.clock)
        del photo, small  # the composite holds on to it only for as long as it needs it
        if composite is not None and row.composite is not None:
            self._write(row.composite, composite, settings.composite_format, icc_profile)
        del composite
        self._write(f"{MASKS}/{stem}.png", mask, "png")
        return row

    def _probability(self, pixels: Pixels) -> tuple[NDArray[np.float32], Pixels]:
        """Return what the network makes of a photo, and the photo as it saw it."""
        with self.clock("shrink"):
            seen = self._engine.prepare(pixels)
        with self.clock("forward"):
            return seen.probability(), seen.small

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

    def _write(
        self,
        path: str,
        picture: Pixels | Strips,
        image_format: ImageFormat,
        icc_profile: bytes | None = None,
    ) -> None:
        with self.clock("encode"):
            encoded = encode(picture, image_format, icc_profile=icc_profile)
        with self.clock("write"):
            _make_folder(self._settings.out, path.rpartition("/")[0])
            write_atomically(path_in(self._settings.out, path), encoded)


def _make_folder(out: Location, name: str) -> None:
    """Create a folder, and those above it one by one: they may be more than Python recurses."""
    if isinstance(out, RemotePath) or os.path.isdir(f"{out}/{name}"):  # noqa: PTH112 # see FilePath
        return  # behind URLs folders come with the files in them
    folder = out / name
    missing = list(takewhile(lambda path: not path.exists(), (folder, *folder.parents)))
    for path in reversed(missing):
        path.mkdir(exist_ok=True)


def _examine(path: FilePath) -> Status:
    """Return size and time of a photo before it is read, so that a later change is noticed.

    Raises:
        MissingFileError: There is no such file.
        OutOfReachError: It cannot be looked at.
    """
    try:
        return status_of(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MissingFileError(f"cannot be read: {error.strerror or error}") from error
    except OSError as error:
        raise OutOfReachError(f"cannot be read: {error.strerror or error}") from error


def _stop_if_nothing_can_be_written(error: OSError, out: Location) -> None:
    if error.errno in _NO_MORE_WRITING:
        raise BanetError(
            f"{out}: {error.strerror}; make room or choose another --out, then run the same "
            "command again, which goes on from there"
        ) from error
