"""Putting people before other backgrounds."""

import torch
from torch import Tensor
from torch.nn import functional as F

CONTAMINATED = 2.0
"""So many pixels from the edge of its mask a person still has colours of the old background."""

NEARLY_ONE = 0.99

REACH = 4
"""Colours of the person are averaged over cells of so many pixels and over their neighbours."""

EPSILON = 1e-3


def put_before(image: Tensor, mask: Tensor, distance: Tensor, background: Tensor) -> Tensor:
    """Replace backgrounds, without a seam of the old ones.

    At the edge of a mask the photo mixes person and background. There the colours are those that
    the person has nearby, further inside.

    Args:
        image: RGB, (B, 3, H, W), any range.
        mask: (B, 1, H, W) in [0, 1].
        distance: From the edge of the mask in pixels, (B, 1, H, W).
        background: RGB, (B, 3, H, W).
    """
    core = (mask > NEARLY_ONE) & (distance > CONTAMINATED)
    person = torch.where(core, image, _colours_nearby(image, core.to(image.dtype)))
    return torch.lerp(background, person, mask)


def _colours_nearby(image: Tensor, core: Tensor) -> Tensor:
    """Average the image over the core nearby; where there is none of it, over all pixels."""
    weight = _cells(core)
    colours = torch.where(
        weight > EPSILON, _cells(image * core) / weight.clamp_min(EPSILON), _cells(image)
    )
    return F.interpolate(colours, size=image.shape[2:], mode="bilinear", align_corners=False)


def _cells(values: Tensor) -> Tensor:
    """Average over cells and their neighbours."""
    cells = F.avg_pool2d(values, REACH, ceil_mode=True)
    return F.avg_pool2d(cells, 3, stride=1, padding=1, count_include_pad=False)


def enlarge_grid(grid: Tensor, *, height: int, width: int) -> Tensor:
    """Make a texture (3, H, W) from a grid of colours (n, n, 3)."""
    nodes = grid.permute(2, 0, 1).unsqueeze(0)
    # Corners are aligned, so that a grid of two nodes is a gradient over the whole view.
    return F.interpolate(nodes, size=(height, width), mode="bicubic", align_corners=True)[0]
