"""What every network of this package takes and gives."""

from typing import NamedTuple

from torch import Tensor
from torch.nn import functional as F

IMAGE_MEAN = (0.485, 0.456, 0.406)
"""Mean of the R, G and B channels in [0, 1] over ImageNet, subtracted from every input."""

IMAGE_STD = (0.229, 0.224, 0.225)
"""Standard deviation of the R, G and B channels in [0, 1] over ImageNet."""

LEVELS = 255
"""The greatest level of a photo of 8 bits a channel."""


class Prediction(NamedTuple):
    """Output of a network for a batch of B normalised images of H x W pixels.

    Attributes:
        portrait: Logits of "this pixel belongs to a person", (B, 1, H, W).
        boundary: Tempered logits of the boundary attention map (Eq. 2), (B, 1, H, W); None for
            a network that has no such map.
    """

    portrait: Tensor
    boundary: Tensor | None


def normalize(image: Tensor) -> Tensor:
    """Turn RGB values in [0, 1], (B, 3, H, W) floating point, into the input of a network."""
    mean = image.new_tensor(IMAGE_MEAN).view(1, 3, 1, 1)
    std = image.new_tensor(IMAGE_STD).view(1, 3, 1, 1)
    return (image - mean) / std


def normalize_levels(photo: Tensor) -> Tensor:
    """Turn RGB levels from 0 to 255, (B, 3, H, W) float32, into the same, in one pass over them."""
    mean, std = (LEVELS * photo.new_tensor(each) for each in (IMAGE_MEAN, IMAGE_STD))
    return F.batch_norm(photo, mean, std.square(), eps=0.0)
