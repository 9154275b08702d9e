"""What a worker does with one task of `banet segment`: a few photos from file to files."""

import errno
import hashlib
import logging
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import takewhile

import numpy as np
import torch
from numpy.typing import NDArray

from pipelines.budget import Budget
from pipelines.compositing import (
    blurred_background,
    cut_out,
    picture_background,
    plain_background,
    put_before,
)
from pipelines.devices import is_out_of_memory, precision_name
from pipelines.encoding import ImageFormat, Strips, encode
from pipelines.engines import Engine, engine_once
from pipelines.errors import BanetError, InputError, MissingFileError, OutOfReachError, PhotoError
from pipelines.images import Photo, Pixels, decode_photo, read_header
from pipelines.inference import (
    binary_mask,
    confidence,
    coverage,
    limit_threads,
    soft_mask,
    split_mask,
    to_alpha,
)
from pipelines.ledger import LedgerRow
from pipelines.parallel import available_memory, worker_threads
from pipelines.photo_files import COMPOSITES, MASKS, RESULT_EXTENSIONS
from pipelines.photo_memory import memory_of_photo
from pipelines.photo_tasks import BatchResult, BatchTask, PhotoTask, Stage, TaskSettings
from pipelines.process_memory import ProcessMemory
from pipelines.refinement import GUIDE_SIDE, refined_mask
from pipelines.sizes import resize
from pipelines.storage import Location, RemotePath, Status, status_of
from pipelines.whole_files import read_bytes, refuse_large_file, write_atomically

EMPTY_BELOW = 0.001
"""A photo whose portrait share is below this is `empty`.

At a working size of 512 that is fewer than 200 pixels, an area of 14 x 14, in which the network,
whose deepest features have a pixel for every 32 x 32, cannot know a person from a speck.
"""

OVERSAMPLING = 2
"""Masks alone are made of photos decoded to no less than so many times the working size.

Against whole decoding, masks of 12-megapixel photos differ by 0.05 to 0.6 grey levels in the mean;
with half of this it would be twice that, and decoding and resizing took a quarter less time.
"""

_NO_MORE_WRITING = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})

_measuring = threading.Lock()

logger = logging.getLogger(__name__)


@dataclass
class StageClock:
    """Adds up the CPU seconds of the calling thread by stage, and what it waited on top of them."""

    seconds: dict[Stage, float] = field(default_factory=lambda: defaultdict(float))
    waits: dict[Stage, float] = field(default_factory=lambda: defaultdict(float))
    _busy: float = 0.0
    _wall: float = 0.0

    @contextmanager
    def __call__(self, stage: Stage) -> Iterator[None]:
        """Count the time of a `with` block towards `stage`, less that of blocks within it."""
        started, started_busy = time.perf_counter(), time.thread_time()
        wall_before, busy_before = self._wall, self._busy
        try:
            yield
        finally:
            wall, busy = time.perf_counter() - started, time.thread_time() - started_busy
            own_wall = wall - (self._wall - wall_before)
            own_busy = busy - (self._busy - busy_before)
            self.seconds[stage] += own_busy
            self.waits[stage] += max(0.0, own_wall - own_busy)
            self._wall, self._busy = wall_before + wall, busy_before + busy

    def each(self, stage: Stage, strips: Iterable[Pixels]) -> Iterator[Pixels]:
        """Count the time that it takes to draw strips towards `stage`."""
        iterator = iter(strips)
        while True:
            with self(stage):
                strip = next(iterator, None)
            if strip is None:
                return
            yield strip


def open_engine(settings: TaskSettings) -> Engine:
    """Return the engine of this worker process.

    Raises:
        BanetError: The weights or the device are not to be had here.
    """
    return engine_once(
        settings.weights,
        settings.weights_sha256,
        device=settings.device,
        precision=settings.precision,
        size=settings.size,
        threads=settings.threads,
        batch_size=settings.batch_size,
        description=settings.description,
    )


def process_memory(settings: TaskSettings) -> ProcessMemory:
    """Return what the photos of this worker process share.

    Without `--max-memory` that is half of the memory. What a photo needs there always is, so that
    on a small machine large photos are done one at a time.

    Raises:
        BanetError: The weights, the device or the background are not to be had here.
        ConfigError: What `--max-memory` allows does not suffice.
    """
    with _measuring:  # alone, before this process has any photo in work
        return _process_memory(settings)


@lru_cache(maxsize=1)
def _process_memory(settings: TaskSettings) -> ProcessMemory:
    if settings.max_memory is None:
        return ProcessMemory(Budget(available_memory() // 2 // settings.processes))
    engine = open_engine(settings)
    if settings.background is not None:
        load_background(*settings.background)
    blank = np.zeros((settings.size, settings.size, 3), np.uint8)

    def compute() -> None:
        if settings.threads is not None:
            limit_threads(settings.threads)
        engine(blank)

    return ProcessMemory.limited(settings.max_memory, threads=worker_threads(), work=compute)


def probe_worker(settings: TaskSettings) -> tuple[str, str]:
    """Return the device and the precision that a worker computes with, and load its weights.

    Raises:
        BanetError: The weights, the device or the background are not to be had there.
        ConfigError: What `--max-memory` allows does not suffice there.
    """
    engine = open_engine(settings)
    if settings.background is not None:
        load_background(*settings.background)
    process_memory(settings)
    return str(engine.device), precision_name(engine.dtype)


@lru_cache(maxsize=2)
def load_background(path: Location, sha256: str) -> Pixels:
    """Read the picture for the composite `image`, once per process.

    Raises:
        InputError: It cannot be read, or is another one than `sha256` says.
    """
    try:
        content = read_bytes(path)
        picture = decode_photo(content).pixels
    except PhotoError as error:
        raise InputError(
            f"--background {path}: {error}; name a picture that can be read"
        ) from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise InputError(
            f"--background {path}: it changed, or this machine has another file of that name; "
            "copy the same file to every worker, then run the same command again"
        )
    return picture


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
            status = photo.status or _examine(self._settings.root / photo.source)
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
                    header = read_header(content, reduced_to=self._least_side())
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
            content = read_bytes(self._settings.root / row.source)
            return replace(row, sha256=hashlib.sha256(content).hexdigest()), content

    def _segment_content(self, row: LedgerRow, content: bytes, stem: str) -> LedgerRow:
        settings = self._settings
        with self.clock("decode"):
            photo = decode_photo(content, reduced_to=self._least_side())
        with self.clock("forward"):
            probability = self._engine(photo.pixels)
        share = coverage(probability, threshold=settings.threshold)
        is_empty = share < EMPTY_BELOW
        mask = self._full_mask(probability, photo, is_empty=is_empty)
        row = replace(
            row,
            status="empty" if is_empty else "ok",
            mask=f"{MASKS}/{stem}.png",
            width=photo.width,
            height=photo.height,
            coverage=round(share, 6),
            confidence=round(confidence(probability), 6),
            note=photo.note,
        )
        if settings.composite != "none" and not is_empty:
            row = replace(row, composite=f"{COMPOSITES}/{stem}.{settings.composite_format}")
        composite, icc_profile = self._composite(row, photo, mask), photo.icc_profile
        del photo  # the composite holds on to it only for as long as it needs it
        if composite is not None and row.composite is not None:
            self._write(row.composite, composite, settings.composite_format, icc_profile)
        del composite
        self._write(f"{MASKS}/{stem}.png", mask, "png")
        return row

    def _least_side(self) -> int | None:
        """Return how many pixels the shorter side of a photo needs; None if all of them count.

        Masks alone need no more than the network sees, and what their edges are drawn after.
        """
        settings = self._settings
        if settings.composite != "none":
            return None
        enough = OVERSAMPLING * settings.size
        return max(enough, GUIDE_SIDE) if settings.refine else enough

    def _full_mask(
        self, probability: NDArray[np.float32], photo: Photo, *, is_empty: bool
    ) -> Pixels:
        height, width = photo.height, photo.width
        settings = self._settings
        if is_empty:
            return np.zeros((height, width), np.uint8)
        if settings.refine:
            with self.clock("refine"):
                mask = refined_mask(to_alpha(probability), photo.pixels)
            with self.clock("mask"):
                mask = resize(mask, height=height, width=width)
                is_soft = settings.mask == "soft"
                return mask if is_soft else split_mask(mask, threshold=settings.threshold)
        with self.clock("mask"):
            if settings.mask == "soft":
                return soft_mask(to_alpha(probability), height=height, width=width)
            return binary_mask(
                probability, height=height, width=width, threshold=settings.threshold
            )

    def _composite(self, row: LedgerRow, photo: Photo, mask: Pixels) -> Strips | None:
        """Return the composite, which is made while it is encoded; None if there is to be none."""
        if row.composite is None:
            return None
        with self.clock("composite"):
            if self._settings.composite == "transparent":
                picture = cut_out(photo.pixels, mask)
            else:
                picture = put_before(photo.pixels, mask, self._background(photo, mask))
        return replace(picture, rows=self.clock.each("composite", picture.rows))

    def _remove_outdated(self, row: LedgerRow, stem: str) -> None:
        """Delete what earlier runs made of a photo that failed now, or shows nobody any more.

        Their options may have been other ones, so that composites of every format are looked for.
        """
        if row.status == "ok":
            return
        paths = [f"{COMPOSITES}/{stem}{extension}" for extension in RESULT_EXTENSIONS]
        if row.status == "failed":
            paths.append(f"{MASKS}/{stem}.png")
        for path in paths:
            # What is no folder holds no outdated files, and what cannot be deleted stays.
            with suppress(OSError):
                (self._settings.out / path).unlink()

    def _background(self, photo: Photo, mask: Pixels) -> Pixels:
        height, width = mask.shape
        if self._settings.colour is not None:
            return plain_background(self._settings.colour, height=height, width=width)
        if self._settings.background is not None:
            picture = load_background(*self._settings.background)
            return picture_background(picture, height=height, width=width)
        return blurred_background(photo.pixels, mask)

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
            target = self._settings.out / path
            _make_folder(target.parent)
            write_atomically(target, encoded)


def _make_folder(folder: Location) -> None:
    """Create a folder, and those above it one by one: they may be more than Python recurses."""
    if isinstance(folder, RemotePath):
        folder.mkdir(parents=True, exist_ok=True)
        return
    missing = list(takewhile(lambda path: not path.exists(), (folder, *folder.parents)))
    for path in reversed(missing):
        path.mkdir(exist_ok=True)


def _examine(path: Location) -> Status:
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
