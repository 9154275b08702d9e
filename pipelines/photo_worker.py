"""What a worker does with one task of `banet segment`: a few photos from file to files."""

import hashlib
import time
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pipelines.encoding import ImageFormat, Strips, encode
from pipelines.engines import Engine
from pipelines.errors import BanetError, MissingFileError, OutOfReachError
from pipelines.images import Pixels, decode_photo, read_header
from pipelines.inference import confidence, coverage, limit_threads
from pipelines.ledger import LedgerRow
from pipelines.photo_failures import reason_of
from pipelines.photo_files import COMPOSITES, MASKS
from pipelines.photo_memory import memory_of_photo
from pipelines.photo_results import composite_of, full_mask, least_side
from pipelines.photo_tasks import BatchResult, BatchTask, PhotoTask, TaskSettings
from pipelines.photo_writer import MadePhoto, PhotoWriter
from pipelines.stage_clock import StageClock
from pipelines.storage import FilePath, Status, path_in, status_of
from pipelines.whole_files import read_bytes, refuse_large_file
from pipelines.worker_process import open_engine, process_memory

EMPTY_BELOW = 0.001
"""A photo whose portrait share is below this is `empty`.

At a working size of 512 that is fewer than 200 pixels, an area of 14 x 14, in which the network,
whose deepest features have a pixel for every 32 x 32, cannot know a person from a speck.
"""


def segment_batch(task: BatchTask) -> BatchResult:
    """Segment some photos and write their masks and composites. What fails is recorded.

    Raises:
        BanetError: The worker lacks weights or device.
    """
    settings = task.settings
    if settings.threads is not None:
        limit_threads(settings.threads)
    worker = _PhotoWorker(settings, open_engine(settings))
    unchanged: list[LedgerRow] = []
    vanished: list[str] = []
    ended_by: BanetError | None = None
    undone: tuple[PhotoTask, ...] = ()
    with PhotoWriter(settings) as writer:
        for number, photo in enumerate(task.photos):
            try:
                made = worker.make(photo)
            except MissingFileError:
                vanished.append(photo.source)
                continue
            except BanetError as error:
                ended_by, undone = error, task.photos[number + 1 :]
                break
            if photo.known is not None and made.row.sha256 == photo.known.sha256:
                made.memory.close()
                unchanged.append(made.row)
                continue
            try:
                writer.put(made)
            except BanetError as error:  # of the photo before
                ended_by, undone = error, task.photos[number:]
                break
        try:
            writer.finish()
        except BanetError as error:
            ended_by = ended_by or error
    return BatchResult(
        rows=tuple(writer.rows),
        unchanged=tuple(unchanged),
        vanished=tuple(vanished),
        ended_by=ended_by,
        undone=tuple(photo.source for photo in undone),
        stages=worker.clock.seconds | writer.clock.seconds,
        waits=worker.clock.waits | writer.clock.waits,
    )


class _PhotoWorker:
    """Makes the results of photos one after the other, and counts the CPU time."""

    def __init__(self, settings: TaskSettings, engine: Engine) -> None:
        self.clock = StageClock()
        self._settings = settings
        self._engine = engine
        self._memory = process_memory(settings)
        self._least_side = least_side(settings, size=settings.size)

    def make(self, photo: PhotoTask) -> MadePhoto:
        """Make the results of a photo; its row is `photo.known` if that still holds.

        Raises:
            MissingFileError: The photo is gone, and photos are being watched.
            BanetError: Nothing more can be made.
        """
        started = time.perf_counter()
        row = LedgerRow(
            source=photo.source,
            status="failed",
            seconds=0.0,
            fingerprint=self._settings.fingerprint,
        )
        made = MadePhoto(photo=photo, read=row, row=row)
        with made.memory:
            try:
                self._make(made)
            except Exception as error:  # noqa: BLE001 # one photo must never end the run
                device = str(self._engine.device)
                reason = reason_of(error, photo.source, self._settings, device=device)
                made.row = replace(made.read, error=reason)
                made.files.clear()
                made.memory.close()
                # A network may be down; results of earlier runs may hold.
                made.keeps_others = isinstance(error, OutOfReachError)
            made.memory = made.memory.pop_all()
        made.seconds = time.perf_counter() - started
        return made

    def _make(self, made: MadePhoto) -> None:
        photo = made.photo
        with self.clock("read"):
            status = photo.status or _examine(path_in(self._settings.root, photo.source))
        made.read = replace(made.read, size=status.size, mtime_ns=status.mtime_ns, etag=status.etag)
        refuse_large_file(status.size)
        needed = status.size
        while True:
            share = made.memory.enter_context(self._memory.taken(needed))
            made.read, content = self._read(made.read)
            if photo.known is not None and photo.known.sha256 == made.read.sha256:
                made.row = replace(
                    photo.known,
                    size=made.read.size,
                    mtime_ns=made.read.mtime_ns,
                    etag=made.read.etag,
                )
                return
            with self.clock("decode"):
                header = read_header(content, reduced_to=self._least_side)
            needed = len(content) + memory_of_photo(header, self._settings)
            if self._memory.grow(share, needed):
                break
            del content
            made.memory.close()  # and the file is read again once there is enough
        self._segment_content(made, content)
        del content
        share.shrink(sum(map(len, made.files.values())))

    def _read(self, row: LedgerRow) -> tuple[LedgerRow, bytes]:
        with self.clock("read"):
            content = read_bytes(path_in(self._settings.root, row.source))
            return replace(row, sha256=hashlib.sha256(content).hexdigest()), content

    def _segment_content(self, made: MadePhoto, content: bytes) -> None:
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
            made.read,
            status="empty" if is_empty else "ok",
            mask=f"{MASKS}/{made.photo.stem}.png",
            width=photo.width,
            height=photo.height,
            coverage=round(share, 6),
            confidence=round(certainty, 6),
            note=photo.note,
        )
        if settings.composite != "none" and not is_empty:
            path = f"{COMPOSITES}/{made.photo.stem}.{settings.composite_format}"
            row = replace(row, composite=path)
        icc_profile, composite = photo.icc_profile, None
        if row.composite is not None:
            composite = composite_of(photo, mask, settings, self.clock)
        del photo, small  # the composite holds on to it only for as long as it needs it
        if composite is not None and row.composite is not None:
            made.files[row.composite] = self._encoded(
                composite, settings.composite_format, icc_profile
            )
        del composite
        made.files[f"{MASKS}/{made.photo.stem}.png"] = self._encoded(mask, "png")
        made.row = row

    def _probability(self, pixels: Pixels) -> tuple[NDArray[np.float32], Pixels]:
        """Return what the network makes of a photo, and the photo as it saw it."""
        with self.clock("shrink"):
            seen = self._engine.prepare(pixels)
        with self.clock("forward"):
            return seen.probability(), seen.small

    def _encoded(
        self,
        picture: Pixels | Strips,
        image_format: ImageFormat,
        icc_profile: bytes | None = None,
    ) -> bytes:
        with self.clock("encode"):
            return encode(picture, image_format, icc_profile=icc_profile)


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
