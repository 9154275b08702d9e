"""What a worker does with one task of `banet segment`: a few photos from file to files."""

import errno
import hashlib
import logging
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache

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
from pipelines.devices import precision_name
from pipelines.engines import Engine, engine_once
from pipelines.errors import BanetError, InputError, MissingFileError, PhotoError
from pipelines.images import (
    MAX_FILE_BYTES,
    MAX_PIXELS,
    ImageFormat,
    Photo,
    Pixels,
    count_pixels,
    decode_photo,
    encode,
    read_bytes,
    refuse_large_file,
    resize,
    write_atomically,
)
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
from pipelines.parallel import available_memory
from pipelines.photo_files import COMPOSITES, MASKS, RESULT_EXTENSIONS
from pipelines.photo_tasks import BatchResult, BatchTask, PhotoTask, TaskSettings
from pipelines.refinement import GUIDE_SIDE, refined_mask
from pipelines.storage import Location, Status, status_of

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

BYTES_PER_PIXEL = 20
"""Bytes of memory that a photo needs at its peak, when it is composed; 13 to 15 were measured."""

_NO_MORE_WRITING = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})

logger = logging.getLogger(__name__)


@dataclass
class StageClock:
    """Adds up the CPU seconds of the calling thread by stage; time spent waiting is not counted."""

    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Count the time of a `with` block towards `stage`."""
        started = time.thread_time()
        try:
            yield
        finally:
            self.seconds[stage] += time.thread_time() - started


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
        description=settings.description,
    )


@lru_cache(maxsize=1)
def memory_budgets() -> tuple[Budget, Budget]:
    """Return what the photos of this process may share: bytes of files, and pixels in work.

    Together they fill about half of the memory. What the largest photo needs there always is, so
    that on a small machine such photos are done one at a time.
    """
    memory = available_memory()
    return (
        Budget(max(MAX_FILE_BYTES, memory // 10)),
        Budget(max(MAX_PIXELS, memory * 2 // 5 // BYTES_PER_PIXEL)),
    )


def probe_worker(settings: TaskSettings) -> tuple[str, str]:
    """Return the device and the precision that a worker computes with, and load its weights.

    Raises:
        BanetError: The weights, the device or the background are not to be had there.
    """
    engine = open_engine(settings)
    if settings.background is not None:
        load_background(*settings.background)
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
        BanetError: Nothing more can be written, or the worker lacks weights or device.
    """
    settings = task.settings
    if settings.threads is not None:
        limit_threads(settings.threads)
    worker = _PhotoWorker(settings, open_engine(settings))
    rows: list[LedgerRow] = []
    unchanged: list[LedgerRow] = []
    vanished: list[str] = []
    for photo in task.photos:
        try:
            row = worker.segment_file(photo)
        except MissingFileError:
            vanished.append(photo.source)
            continue
        is_known = photo.known is not None and row.sha256 == photo.known.sha256
        (unchanged if is_known else rows).append(row)
    return BatchResult(
        rows=tuple(rows),
        unchanged=tuple(unchanged),
        vanished=tuple(vanished),
        stages=dict(worker.clock.seconds),
    )


class _PhotoWorker:
    """Segments photo files one after the other, and counts the CPU time."""

    def __init__(self, settings: TaskSettings, engine: Engine) -> None:
        self.clock = StageClock()
        self._settings = settings
        self._engine = engine
        self._file_bytes, self._pixels = memory_budgets()

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
            with self._file_bytes.taken(status.size):
                row, content = self._read(row)
                if photo.known is not None and photo.known.sha256 == row.sha256:
                    return replace(photo.known, mtime_ns=row.mtime_ns, etag=row.etag)
                with self._pixels.taken(count_pixels(content)):
                    row = self._segment_content(row, content, photo.stem)
        except PhotoError as error:
            if self._settings.watching and isinstance(error, MissingFileError):
                raise
            row = replace(row, error=str(error))
        except BanetError:
            raise
        except (MemoryError, torch.OutOfMemoryError):
            row = replace(row, error="not enough memory for a photo of this size")
        except OSError as error:
            _stop_if_nothing_can_be_written(error, self._settings.out)
            row = replace(row, error=f"cannot be written: {error.strerror or error}")
        except Exception as error:  # one photo must never end the run
            logger.exception("%s: unexpected error", photo.source)
            row = replace(row, error=f"unexpected {type(error).__name__}: {error}")
        self._remove_outdated(row, photo.stem)
        return replace(row, seconds=round(time.perf_counter() - started, 4))

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
        mask_path = f"{MASKS}/{stem}.png"
        composite_path = self._write_composite(photo, mask, stem, is_empty=is_empty)
        self._write(mask_path, mask, "png")
        return replace(
            row,
            status="empty" if is_empty else "ok",
            mask=mask_path,
            composite=composite_path,
            width=photo.width,
            height=photo.height,
            coverage=round(share, 6),
            confidence=round(confidence(probability), 6),
            note=photo.note,
        )

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

    def _write_composite(
        self, photo: Photo, mask: Pixels, stem: str, *, is_empty: bool
    ) -> str | None:
        """Write the composite, if there is to be one, and return its path below the output."""
        settings = self._settings
        if settings.composite == "none":
            return None
        if is_empty:
            return None
        path = f"{COMPOSITES}/{stem}.{settings.composite_format}"
        with self.clock("composite"):
            if settings.composite == "transparent":
                picture = cut_out(photo.pixels, mask)
            else:
                picture = put_before(photo.pixels, mask, self._background(photo, mask))
        self._write(path, picture, settings.composite_format, photo.icc_profile)
        return path

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
        pixels: Pixels,
        image_format: ImageFormat,
        icc_profile: bytes | None = None,
    ) -> None:
        with self.clock("encode"):
            encoded = encode(pixels, image_format, icc_profile=icc_profile)
        with self.clock("write"):
            target = self._settings.out / path
            target.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(target, encoded)


def _examine(path: Location) -> Status:
    """Return size and time of a photo before it is read, so that a later change is noticed.

    Raises:
        MissingFileError: There is no such file.
        PhotoError: It is out of reach.
    """
    try:
        return status_of(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MissingFileError(f"cannot be read: {error.strerror or error}") from error
    except OSError as error:
        raise PhotoError(f"cannot be read: {error.strerror or error}") from error


def _stop_if_nothing_can_be_written(error: OSError, out: Location) -> None:
    if error.errno in _NO_MORE_WRITING:
        raise BanetError(
            f"{out}: {error.strerror}; make room or choose another --out, then run the same "
            "command again, which goes on from there"
        ) from error
