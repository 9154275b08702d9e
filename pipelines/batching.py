"""One device for many threads: photos that wait for it at the same time make a batch."""

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from pipelines.devices import is_out_of_memory
from pipelines.errors import BanetError
from pipelines.face_prior import Face
from pipelines.images import Pixels
from pipelines.inference import Segmenter, View, require_finite
from pipelines.seen_photo import SeenPhoto

MOST_PHOTOS = 32
"""Most photos of a batch whose size nobody named. What fills a GPU is far less."""

logger = logging.getLogger(__name__)


@dataclass(eq=False)
class _Request:
    """A photo that a thread waits for; it gets an answer or an error."""

    view: View
    answer: NDArray[np.float32] | None = None
    error: BaseException | None = None

    @property
    def is_done(self) -> bool:
        return self.answer is not None or self.error is not None

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        return tuple(plane.shape for plane in self.view)


class BatchingSegmenter:
    """A segmenter whose callers share forward passes; each of them waits for its own photo only.

    There is no thread for it. Of the threads that wait, one takes what waits with it, by shape and
    the oldest first, as soon as the device has room, computes it and wakes the others. So nobody
    waits for a batch to fill, and nothing is left to stop when the threads end.

    Args:
        segmenter: What computes.
        largest: Most photos of a batch. It is halved when the memory does not suffice.

    Attributes:
        device: As of the segmenter.
        dtype: As of the segmenter.
    """

    def __init__(self, segmenter: Segmenter, *, largest: int) -> None:
        self.device = segmenter.device
        self.dtype = segmenter.dtype
        self._segmenter = segmenter
        self._largest = largest
        # While a GPU computes a batch the next one is on its way to it.
        self._most_at_once = 2 if self.device.type == "cuda" else 1
        self._at_once = 0
        self._waiting: list[_Request] = []
        self._changed = threading.Condition()

    def __call__(self, pixels: Pixels, face: Face | None = None) -> NDArray[np.float32]:
        """Segment a photo, together with others of equal working size; see `Segmenter`.

        Raises:
            PhotoError: What came out for this photo are no numbers.
            Exception: As `Segmenter.probabilities` for this photo alone, or `BanetError` for all of
                a batch.
        """
        return self.prepare(pixels, face).probability()

    def prepare(self, pixels: Pixels, face: Face | None = None) -> SeenPhoto:
        """Do the first half of a call; see `Engine`."""
        view = self._segmenter.view(pixels, face)
        return SeenPhoto(small=view[0], probability=partial(self._segment, view))

    def _segment(self, view: View) -> NDArray[np.float32]:
        request = _Request(view)
        with self._changed:
            self._waiting.append(request)
        while batch := self._next_batch(request):
            self._compute(batch)
        try:
            if request.error is not None:
                raise request.error
        finally:
            # The error knows this frame, which knows the request: together they would keep what
            # the failed pass left in memory.
            request.error = None
        assert request.answer is not None
        return require_finite(request.answer)

    def fill(self, pixels: Pixels, *, callers: int) -> None:
        """Compute a photo in the largest batch that so many callers can make of theirs.

        Raises:
            Exception: As for a call.
        """
        view = self._segmenter.view(pixels)
        batch = [_Request(view) for _ in range(min(callers, self._largest))]
        with self._changed:
            self._changed.wait_for(lambda: self._at_once < self._most_at_once)
            self._at_once += 1
        self._compute(batch)
        for request in batch:
            if request.error is not None:
                raise request.error

    def _next_batch(self, own: _Request) -> list[_Request]:
        """Wait until there is a batch to compute for this thread, or its own photo is done.

        Returns:
            Requests of equal shapes, which need not be one's own; empty if that is done.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: own.is_done or (own in self._waiting and self._at_once < self._most_at_once)
            )
            if own.is_done:
                return []
            shapes = self._waiting[0].shapes
            batch = [each for each in self._waiting if each.shapes == shapes][: self._largest]
            self._waiting = [each for each in self._waiting if each not in batch]
            self._at_once += 1
            return batch

    def _compute(self, batch: Sequence[_Request]) -> None:
        try:
            self._answer(batch)
        except BaseException as error:  # an interrupt; nobody may wait for ever
            for request in batch:
                if not request.is_done:
                    request.error = error
            raise
        finally:
            with self._changed:
                self._at_once -= 1
                self._changed.notify_all()

    def _answer(self, batch: Sequence[_Request]) -> None:
        """Give each request its answer or its error, in smaller batches where it must be."""
        if len(batch) <= self._largest and self._is_answered(batch):
            return
        half = len(batch) // 2
        self._answer(batch[:half])
        self._answer(batch[half:])

    def _is_answered(self, batch: Sequence[_Request]) -> bool:
        """Compute a batch; tell whether that was all that can be done for it."""
        try:
            answers = self._segmenter.probabilities([request.view for request in batch])
        except Exception as error:  # noqa: BLE001 # whoever waits for the photo raises it
            # A device that failed does so for every photo. Anything else is put down to one photo
            # by computing the others without it.
            if len(batch) == 1 or isinstance(error, BanetError):
                for request in batch:
                    request.error = error
                return True
            if is_out_of_memory(error):
                self._use_at_most(len(batch) // 2, instead_of=len(batch))
            # Only outside of this block nothing holds the memory of the failed pass any more.
        else:
            for request, answer in zip(batch, answers, strict=True):
                request.answer = answer
            return True
        return False

    def _use_at_most(self, photos: int, *, instead_of: int) -> None:
        with self._changed:
            if photos >= self._largest:
                return
            self._largest = photos
        logger.warning(
            "%s: not enough memory for %d photos at a time; going on with at most %d at a time",
            self.device,
            instead_of,
            photos,
        )
