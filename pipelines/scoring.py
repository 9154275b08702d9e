"""Scores of a network on the samples of a store, shared by `train` and `evaluate`."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor, nn

from models import normalize
from models.metrics import Overlap, boundary_iou, count_overlap, pooled_miou, portrait_iou
from pipelines.devices import autocast
from pipelines.images import Pixels, fitted_size, resize


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Scores over a set of photos, fractions of 1.

    Attributes:
        samples: Number of photos.
        portrait_iou: Mean over photos of the IoU of the portrait class (PFCN's "mean IoU").
        miou: Mean of both classes' IoU, pooled over all pixels.
        boundary_iou: Mean over photos of the boundary IoU.
        mae: Mean absolute difference between soft mask and target.
    """

    samples: int
    portrait_iou: float
    miou: float
    boundary_iou: float
    mae: float

    def as_json(self) -> dict[str, object]:
        """Return the scores as plain values."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class PhotoScore:
    """Counts and scores of one photo."""

    overlap: Overlap
    boundary_iou: float
    mae: float


def predict_mask(
    network: nn.Module, photo: Pixels, *, size: int, device: torch.device, dtype: torch.dtype
) -> Tensor:
    """Segment one photo at a working size.

    Args:
        network: In eval mode, on `device`.
        photo: RGB, (H, W, 3) uint8.
        size: Pixels of the longer side as the network sees it.
        device: To compute on.
        dtype: Of autocast.

    Returns:
        Soft mask in [0, 1], (h, w) float32 on the CPU, whose longer side is `size`.
    """
    height, width = fitted_size(height=photo.shape[0], width=photo.shape[1], long_side=size)
    pixels = torch.from_numpy(resize(photo, height=height, width=width)).to(device)
    image = pixels.permute(2, 0, 1).unsqueeze(0).float().div(255)
    with torch.inference_mode(), autocast(device, dtype):
        portrait = network(normalize(image)).portrait
    return portrait[0, 0].float().sigmoid().cpu()


def score_photo(soft_mask: Tensor, target: Pixels) -> PhotoScore:
    """Compare a soft mask, brought to the target's size, with the target at 0.5.

    Args:
        soft_mask: (h, w) float32 in [0, 1].
        target: (H, W) uint8, 0-255.
    """
    height, width = target.shape
    full = torch.nn.functional.interpolate(
        soft_mask[None, None], size=(height, width), mode="bilinear", align_corners=False
    )[0]
    truth = torch.from_numpy(np.ascontiguousarray(target)).unsqueeze(0)
    everywhere = torch.ones_like(truth, dtype=torch.bool)
    person, is_person = full >= 0.5, truth > 127
    return PhotoScore(
        overlap=count_overlap(person, is_person, everywhere),
        boundary_iou=float(boundary_iou(person, is_person, everywhere)),
        mae=float((full - truth.float() / 255).abs().mean()),
    )


def score_photos(
    network: nn.Module,
    photos: Iterable[tuple[Pixels, Pixels]],
    *,
    size: int,
    device: torch.device,
    dtype: torch.dtype,
) -> Iterator[PhotoScore]:
    """Score photos (H, W, 3) uint8 with their masks (H, W) uint8 one by one."""
    for photo, target in photos:
        soft_mask = predict_mask(network, photo, size=size, device=device, dtype=dtype)
        yield score_photo(soft_mask, target)


def summarise(scores: list[PhotoScore]) -> Scores:
    """Reduce the scores of single photos to those of the set.

    Raises:
        ValueError: There is no photo.
    """
    if not scores:
        raise ValueError("no photo to score")
    overlap = Overlap(
        *(torch.cat(counts) for counts in zip(*(s.overlap for s in scores), strict=True))
    )
    return Scores(
        samples=len(scores),
        portrait_iou=float(portrait_iou(overlap).mean()),
        miou=pooled_miou(overlap),
        boundary_iou=float(np.mean([score.boundary_iou for score in scores])),
        mae=float(np.mean([score.mae for score in scores])),
    )
