"""From the pixels of a photo to the mask of its people."""

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import TypeAlias

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models import fold_batch_norm, normalize_levels
from pipelines.affine import resizing
from pipelines.allocator import keep_freed_memory
from pipelines.devices import LEAST_SIZE_IN_BF16, autocast, is_out_of_memory
from pipelines.errors import BanetError, PhotoError
from pipelines.face_prior import Face, face_prior
from pipelines.images import OPAQUE, Pixels
from pipelines.seen_photo import SeenPhoto
from pipelines.sizes import resize, working_size
from pipelines.traced_network import TracedNetwork

CERTAIN = 0.02
"""Probabilities this close to 0 or 1 count as exactly 0 or 1 in a soft mask.

A network never says quite 0. What it leaves would show as a veil over the whole composite, and
make its file many times larger.
"""

DOUBT = (0.2, 0.8)
"""Between these probabilities it is open whether a pixel shows a person. Chosen on training photos,
among thresholds from 0.02 to 0.3."""

MINIMUM_SIZE = 32
"""Least working size: the deepest features of a network have one pixel for 32 x 32."""

_CAST_ONCE = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear, nn.PReLU)
"""Layers whose weights autocast would otherwise cast anew in every forward pass."""

View: TypeAlias = tuple[Pixels, *tuple[NDArray[np.float32], ...]]
"""What a network sees of a photo: RGB (h, w, 3) uint8, and the face prior (h, w, C) float32 if it
takes one and the face is known."""

_thread = threading.local()


class Segmenter:
    """A network on its device, ready to segment photos from several threads.

    Args:
        network: As it was trained; it is copied.
        device: Where it is to run. A GPU computes for one thread at a time; on a CPU each thread
            has a forward pass of its own.
        dtype: For autocast.
        size: Working size: pixels of the longer side of the photo as the network sees it.
        traced: Run the network as a `TracedNetwork`, for threads that compute at the same time.

    Raises:
        BanetError: The device cannot take the network.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        device: torch.device,
        dtype: torch.dtype,
        size: int,
        traced: bool = False,
    ) -> None:
        self.device = device
        self.dtype = dtype
        self._size = size
        self._is_cuda = device.type == "cuda"
        keep_freed_memory()
        try:
            portrait = _Portrait(inference_form(network, device=device, dtype=dtype), dtype)
        except RuntimeError as error:
            raise _device_failure(device, error) from error
        self._autocast = partial(autocast, device, dtype)
        self._portrait: Callable[..., Tensor] = portrait
        if traced:
            self._portrait = TracedNetwork(portrait, context=self._autocast)
        self._turn: AbstractContextManager[object] = (
            nullcontext() if device.type == "cpu" else threading.Lock()
        )

    def __call__(self, pixels: Pixels, face: Face | None = None) -> NDArray[np.float32]:
        """Segment RGB pixels (H, W, 3) of any size.

        Args:
            pixels: The photo.
            face: Where its face is, for networks that take a face prior and for no others.
                Without it those see zeros instead.

        Returns:
            Probability that a pixel shows a person, (h, w) in [0, 1], where h and w are those of
            `view`.

        Raises:
            PhotoError: What came out are no numbers.
            Exception: As `probabilities`.
        """
        return self.prepare(pixels, face).probability()

    def prepare(self, pixels: Pixels, face: Face | None = None) -> SeenPhoto:
        """Do the first half of a call; see `Engine`."""
        view = self.view(pixels, face)
        return SeenPhoto(small=view[0], probability=partial(self._segment, view))

    def view(self, pixels: Pixels, face: Face | None = None) -> View:
        """Bring a photo to the size in which the network sees it; arguments as for a call."""
        height, width = working_size(
            height=pixels.shape[0], width=pixels.shape[1], long_side=self._size
        )
        if self.dtype == torch.bfloat16 and self.device.type == "cpu":
            height, width = (max(side, LEAST_SIZE_IN_BF16) for side in (height, width))
        image = resize(pixels, height=height, width=width)
        if face is None:
            return (image,)
        seen = face.in_view(resizing((height, width), pixels.shape))
        return image, face_prior(seen, height=height, width=width)

    def probabilities(self, views: Sequence[View]) -> NDArray[np.float32]:
        """Segment photos in one forward pass.

        Args:
            views: What `view` returned, of equal shapes.

        Returns:
            Probabilities (B, h, w); they may be no numbers.

        Raises:
            torch.OutOfMemoryError: The device has too little memory free. On a CPU, where torch
                has no exception of its own for it, `is_out_of_memory` knows the one it raises.
            BanetError: The device failed. A GPU in this state fails for every photo to come.
        """
        try:
            return self._forward(views)
        except RuntimeError as error:
            if self.device.type == "cpu" or is_out_of_memory(error):
                raise
            raise _device_failure(self.device, error) from error

    def _segment(self, view: View) -> NDArray[np.float32]:
        (probability,) = self.probabilities([view])
        return require_finite(probability)

    def _forward(self, views: Sequence[View]) -> NDArray[np.float32]:
        batches = [self._in_memory(planes) for planes in zip(*views, strict=True)]
        with torch.inference_mode(), self._turn, self._autocast():
            batches = [batch.to(self.device, non_blocking=self._is_cuda) for batch in batches]
            probability = self._portrait(*batches)
            if not self._is_cuda:
                return probability.cpu().numpy()
            answer = torch.empty(probability.shape, pin_memory=True)
            answer.copy_(probability, non_blocking=True)
            # Unlike `.cpu()`, it lets the thread sleep and the core decode other photos.
            done = torch.cuda.Event(blocking=True)
            done.record(torch.cuda.current_stream(self.device))
        done.synchronize()  # without the turn: the next pass is in the queue when this one ends
        return answer.numpy()

    def _in_memory(self, planes: Sequence[NDArray[np.uint8 | np.float32]]) -> Tensor:
        """Lay planes (H, W, C) side by side in memory that the device can fetch from."""
        dtype = torch.uint8 if planes[0].dtype == np.uint8 else torch.float32
        shape = (len(planes), *planes[0].shape)
        batch = torch.empty(shape, dtype=dtype, pin_memory=self._is_cuda)
        np.stack(planes, out=batch.numpy())
        return batch


class _Portrait(nn.Module):
    """All that a device does with photos: a network, and what comes before and after it."""

    def __init__(self, network: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self._network = network
        self._dtype = dtype

    def forward(self, photos: Tensor, prior: Tensor | None = None) -> Tensor:
        """Return probabilities (B, h, w) of RGB uint8 (B, h, w, 3) and priors (B, h, w, C)."""
        planes = [photos] if prior is None else [photos, prior]
        image, *priors = (plane.permute(0, 3, 1, 2).float() for plane in planes)
        # Cast once, since autocast would do it for every layer that sees the photo.
        seen = normalize_levels(image).to(self._dtype)
        logits: Tensor = self._network(seen, *priors).portrait
        return logits.float().sigmoid()[:, 0]


def inference_form(network: nn.Module, *, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """Copy a network into the form that computes fastest, for use within `autocast`.

    Batch normalisation is folded into convolutions, memory is laid out channels last, and the
    casts that autocast would make of the weights are made beforehand.

    Args:
        network: Any; it is not changed.
        device: Where it is to run.
        dtype: Of the autocast.
    """
    folded = fold_batch_norm(network).to(device).requires_grad_(requires_grad=False)
    folded.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # of its stubs
    for module in folded.modules():
        if isinstance(module, _CAST_ONCE):
            module.to(dtype)
    return folded


def limit_threads(count: int) -> None:
    """Let the calling thread compute with `count` threads; no-op if it already does.

    Torch keeps this setting per calling thread: a new thread starts with all cores, and several
    such threads slow each other down. That of OpenCV holds for the whole process, so that all
    threads had better ask for the same count.
    """
    if getattr(_thread, "count", None) != count:
        torch.set_num_threads(count)
        cv2.setNumThreads(count)
        _thread.count = count


def require_finite(probability: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what a network made of a photo, once it is known to be numbers.

    Raises:
        PhotoError: Some of it is not: a feature was too large for the precision, or the weights are
            spoilt. Compared with a threshold it would pass for background.
    """
    if not np.isfinite(probability).all():
        raise PhotoError(
            "the network's answer is not a number; use other weights, or --precision fp32 "
            "if it was less"
        )
    return probability


def to_alpha(probability: NDArray[np.float32]) -> NDArray[np.float32]:
    """Stretch probabilities so that those within `CERTAIN` of 0 or 1 are exactly that."""
    return ((probability - CERTAIN) / np.float32(1 - 2 * CERTAIN)).clip(0, 1)


def soft_mask(alpha: NDArray[np.float32], *, height: int, width: int) -> Pixels:
    """Enlarge what `to_alpha` returned, (h, w), to a mask (height, width), 0 to 255."""
    return resize((alpha * OPAQUE).round().astype(np.uint8), height=height, width=width)


def split_mask(mask: Pixels, *, threshold: float) -> Pixels:
    """Turn a soft mask into one that is 255 from a probability of `threshold` on, and else 0.

    Since a soft mask does not tell probabilities within `CERTAIN` of 0 or 1 apart, thresholds
    there count as `CERTAIN` and 1 - `CERTAIN`.
    """
    level = OPAQUE * to_alpha(np.array([threshold], np.float32))[0]
    return np.where(mask >= max(1, level), np.uint8(OPAQUE), np.uint8(0))


def binary_mask(
    probability: NDArray[np.float32], *, height: int, width: int, threshold: float
) -> Pixels:
    """Turn probabilities (h, w) into a mask (height, width) that is 255 from `threshold` on."""
    enlarged = cv2.resize(probability, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.where(enlarged >= threshold, np.uint8(255), np.uint8(0))


def coverage(probability: NDArray[np.float32], *, threshold: float) -> float:
    """Return the share of the photo whose probability is at least `threshold`, in [0, 1]."""
    return float(np.mean(probability >= threshold))


def confidence(probability: NDArray[np.float32]) -> float:
    """Return how sure the network is of the mask, in [0, 1].

    Of the pixels that may show a person, it is the share that surely does: the IoU of a cautious
    and a generous mask, as the stability score of "Segment Anything" (Kirillov et al. 2023, section
    5), at the thresholds of `DOUBT`. Background that nobody doubts does not count, so a small
    doubtful person does not hide in a large clear background. 1 if there is no pixel that may
    show one. `benchmarks/confidence.py` compares it with other statistics.
    """
    low, high = DOUBT
    possible = np.count_nonzero(probability >= low)
    return np.count_nonzero(probability >= high) / possible if possible else 1.0


def _device_failure(device: torch.device, error: RuntimeError) -> BanetError:
    reason = str(error).split("\n", maxsplit=1)[0]
    return BanetError(
        f"--device {device}: failed ({reason}); see whether the device and its driver are well and "
        "who else uses it, then run the same command again"
    )
