"""From planned samples to the tensors of a training step, on the device that trains."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from models.losses import luma
from pipelines.augmentation.backgrounds import enlarge_grid, replace_background
from pipelines.augmentation.degradation import blurred, compressed, noisy
from pipelines.augmentation.photos import DISTANCE_STEPS, GREATEST_DISTANCE
from pipelines.augmentation.plan import PhotoBackground, SamplePlan
from pipelines.augmentation.warp import Views, Warp
from pipelines.boundary import CANONICAL_SIZE
from pipelines.face_prior import face_prior
from pipelines.images import PERSON_FROM

CONTAMINATED = 3.0
"""So many pixels from the edge of its mask a person still has colours of the old background."""

MEAN_EVERY = 4
"""The mean colour of a view is that of every so many rows: less than 1 of 255 off in photos."""

NEARLY_ONE = 0.99
"""From here on a mask says that a pixel shows nothing but the person."""


class Batch(NamedTuple):
    """What a training step needs, float32, on its device.

    Attributes:
        image: RGB in [0, 1], (B, 3, H, W).
        mask: In [0, 1], (B, 1, H, W).
        boundary: By Eq. 1 for what the view shows, in {0, 1}, (B, 1, H, W).
        valid: 0 where nobody knows what belongs there, else 1, (B, 1, H, W).
        prior: Position and shape channels, (B, 3, H, W), zero for photos without a known face;
            None if no photo has one.
    """

    image: Tensor
    mask: Tensor
    boundary: Tensor
    valid: Tensor
    prior: Tensor | None = None


def joined(parts: Sequence[Batch]) -> Batch:
    """Join batches of one size (H, W)."""
    if len(parts) == 1:
        return parts[0]
    image, mask, boundary, valid = (
        torch.cat(each) for each in zip(*(part[:4] for part in parts), strict=True)
    )
    priors = None
    if any(part.prior is not None for part in parts):
        priors = torch.cat(
            [torch.zeros_like(part.image) if part.prior is None else part.prior for part in parts]
        )
    return Batch(image, mask, boundary, valid, priors)


def background_warps(plans: Sequence[SamplePlan]) -> list[Warp]:
    """Return the views that `render` needs as backgrounds, in the order of the samples."""
    return [
        Warp(background.photo, background.level, background.framing)
        for background in (plan.background for plan in plans)
        if isinstance(background, PhotoBackground)
    ]


def render(
    plans: Sequence[SamplePlan],
    views: Views,
    grounds: Tensor,
) -> Batch:
    """Make a batch of B samples.

    Args:
        plans: What is to happen to each sample.
        views: Of the photos of the samples, on the device of the batch.
        grounds: What `background_warps` names, on that device as well, (N, 3, H, W) uint8.
    """
    image = views.picture[:, :3].float().contiguous()
    mask = views.picture[:, 3:].float().contiguous().div_(255)
    _replace_all_backgrounds(plans, image, mask, views.distance, grounds)
    image = _with_colours(plans, image)
    _degrade(plans, image)
    boundary = _boundary(plans, views)
    return Batch(image, mask, boundary, _as_float(views.valid), _priors(plans, mask))


def _replace_all_backgrounds(
    plans: Sequence[SamplePlan],
    image: Tensor,
    mask: Tensor,
    distance: Tensor,
    grounds: Tensor,
) -> None:
    """Put people before their other backgrounds, in place; colours are in 0 to 255."""
    height, width = image.shape[2:]
    pictures = iter(grounds.contiguous())
    for place, plan in enumerate(plans):
        if plan.background is None:
            continue
        if isinstance(plan.background, PhotoBackground):
            background = next(pictures).float().mul_(plan.background.lightness).clamp_(max=255)
        else:
            grid = torch.from_numpy(plan.background.grid).to(image.device)
            background = 255 * enlarge_grid(grid, height=height, width=width)
        # In pixels of the photo, and where it is shrunk in pixels of the view.
        rim = CONTAMINATED * max(1, 1 / plan.framing.scale) * DISTANCE_STEPS
        core = (mask[place] > NEARLY_ONE) & (distance[place] > min(rim, GREATEST_DISTANCE - 1))
        image[place] = replace_background(image[place], mask[place], core, background)


def _with_colours(plans: Sequence[SamplePlan], image: Tensor) -> Tensor:
    """Apply the map of colours of each sample; 0 to 255 becomes [0, 1]."""
    matrices = image.new_tensor(np.stack([plan.colours for plan in plans])) / 255
    lightness = image.new_tensor([plan.lightness for plan in plans]) / 255
    some_rows = image[:, :, ::MEAN_EVERY]
    mean = luma(some_rows.mean(dim=(2, 3), keepdim=True)).flatten(1)  # (B, 1)
    # lightness * mean + matrix (colour - mean), with one product for all pixels
    offset = lightness[:, None] * mean - matrices.sum(dim=2) * mean
    mapped = torch.bmm(matrices, image.flatten(2)).add_(offset.unsqueeze(2))
    return mapped.clamp_(0, 1).view_as(image)


def _degrade(plans: Sequence[SamplePlan], image: Tensor) -> None:
    """Blur, add noise and compress, in the order of a camera, in place."""
    for plan, view in zip(plans, image, strict=True):
        if plan.blur > 0:
            view.copy_(blurred(view, plan.blur))
        if plan.noise > 0:
            view.copy_(noisy(view, plan.noise, seed=plan.noise_seed))
        if plan.quality is not None:
            view.copy_(compressed(view, plan.quality))


def _boundary(plans: Sequence[SamplePlan], views: Views) -> Tensor:
    """Make the boundary target: what is no further from the edge than half of K of Eq. 1.

    The distance to Canny's edges came along with the photo; K is that of what the view shows. So
    Eq. 1 stays true for any scale, without an edge to be detected again.
    """
    mask, valid = views.picture[:, 3:], views.valid
    height, width = mask.shape[2:]
    person = (mask >= PERSON_FROM) & valid
    shown_person, shown = (_as_float(each).mean(dim=(1, 2, 3)) for each in (person, valid))
    share = shown_person / shown.clamp_min(1e-6)
    canonical = share.new_tensor([plan.canonical_width for plan in plans])
    kernel_size = (share * canonical * (max(height, width) / CANONICAL_SIZE)).round().clamp_min(1)
    scales = share.new_tensor([plan.framing.scale for plan in plans])
    reach = (
        (kernel_size / 2 / scales * DISTANCE_STEPS).clamp_max(GREATEST_DISTANCE - 1).to(torch.uint8)
    )
    return _as_float((views.distance <= reach[:, None, None, None]) & valid)


def _as_float(plane: Tensor) -> Tensor:
    """Turn True into 1, by way of bytes, from which a CPU converts in a fraction of the time."""
    return plane.view(torch.uint8).float()


def _priors(plans: Sequence[SamplePlan], like: Tensor) -> Tensor | None:
    if not any(plan.face for plan in plans):
        return None
    height, width = like.shape[2:]
    priors = [
        face_prior(
            plan.face and plan.face.in_view(plan.framing.to_photo), height=height, width=width
        )
        for plan in plans
    ]
    return torch.from_numpy(np.stack(priors)).permute(0, 3, 1, 2).to(like.device)
