"""Putting people before other backgrounds."""

import torch
from torch import Tensor
from torch.nn import functional as F

CELL = 8
"""Colours of the person are looked up on a grid of so many pixels."""

NEIGHBOURS = 5
"""They are averaged over so many nodes of that grid in either direction."""

EPSILON = 1e-3


def replace_background(image: Tensor, mask: Tensor, core: Tensor, background: Tensor) -> Tensor:
    """Replace a background, without a seam of the old one.

    At the edge of a mask the photo mixes person and background. There the colours are those that
    the person has nearby, further inside.

    Args:
        image: RGB, (3, H, W), any range.
        mask: (1, H, W) in [0, 1].
        core: Where the photo shows nothing but the person, (1, H, W) bool.
        background: RGB, (3, H, W).
    """
    rows, columns = ((mask[0] > 0) & ~core[0]).nonzero(as_tuple=True)
    person = image.clone()
    person[:, rows, columns] = _colours_nearby(image, core)[:, rows // CELL, columns // CELL]
    return torch.lerp(background, person, mask)


def _colours_nearby(image: Tensor, core: Tensor) -> Tensor:
    """Average the core over neighbouring nodes; where there is none nearby, average all pixels."""
    nodes = image[:, ::CELL, ::CELL]
    weights = core[:, ::CELL, ::CELL].to(image.dtype)
    weighted, weight, everything = F.avg_pool2d(
        torch.cat((nodes * weights, weights, nodes)),
        NEIGHBOURS,
        stride=1,
        padding=NEIGHBOURS // 2,
        count_include_pad=False,
    ).split((3, 1, 3))
    return torch.where(weight > EPSILON, weighted / weight.clamp_min(EPSILON), everything)


def enlarge_grid(grid: Tensor, *, height: int, width: int) -> Tensor:
    """Make a texture (3, H, W) from a grid of colours (n, n, 3)."""
    nodes = grid.permute(2, 0, 1).unsqueeze(0)
    # Corners are aligned, so that a grid of two nodes is a gradient over the whole view.
    return F.interpolate(nodes, size=(height, width), mode="bilinear", align_corners=True)[0]
