"""What cameras, telephones and web sites do to pictures: blur, noise, JPEG."""

import math
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from models.losses import LUMA_WEIGHTS

NOISE_BANK = 2**22
"""Normal deviates that all noise is cut from; more for views of over half as many pixels."""

BLOCK = 8
"""Side of the blocks of JPEG."""

LUMA_TABLE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
"""Quantisation of luma at quality 50 (ITU-T T.81, table K.1)."""

CHROMA_TABLE = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99,) * BLOCK,) * 4,
)
"""Quantisation of chroma at quality 50 (ITU-T T.81, table K.2)."""

TO_YCBCR = (
    LUMA_WEIGHTS,
    (-0.168736, -0.331264, 0.5),
    (0.5, -0.418688, -0.081312),
)
"""From RGB to luma and the two chromas (JFIF)."""


def blurred(image: Tensor, radius: float) -> Tensor:
    """Blur with a Gaussian.

    Args:
        image: (C, H, W).
        radius: Standard deviation in pixels.
    """
    reach = max(1, math.ceil(3 * radius))
    weights = [math.exp(-0.5 * (offset / radius) ** 2) for offset in range(-reach, reach + 1)]
    for dim, padding in ((1, (0, 0, reach, reach)), (2, (reach, reach, 0, 0))):
        padded = F.pad(image.unsqueeze(0), padding, mode="replicate")[0]
        # A sum of shifted pictures: torch's convolutions of single channels take several times
        # as long on a CPU.
        image = torch.zeros_like(image)
        for shift, weight in enumerate(weights):
            image.add_(padded.narrow(dim, shift, image.shape[dim]), alpha=weight / sum(weights))
    return image


def noisy(image: Tensor, level: float, *, seed: int) -> Tensor:
    """Add Gaussian noise.

    Args:
        image: In [0, 1], (C, H, W).
        level: Standard deviation.
        seed: Of the noise; one number gives the same noise on every device.
    """
    pixels = image[0].numel()
    bank = _noise_bank(max(NOISE_BANK, 2 * pixels), image.device)
    starts = np.random.default_rng(seed).integers(len(bank) - pixels, size=len(image))
    noise = torch.stack([bank[start : start + pixels] for start in starts.tolist()])
    return image.add(noise.view_as(image), alpha=level).clamp_(0, 1)


@lru_cache
def _noise_bank(size: int, device: torch.device) -> Tensor:
    """Return normal deviates to cut pieces from, since drawing new ones takes ten times as long."""
    return torch.randn(size, generator=torch.Generator().manual_seed(0)).to(device)


def compressed(image: Tensor, quality: float) -> Tensor:
    """Leave the traces of JPEG with chroma at half the resolution.

    Args:
        image: RGB in [0, 1], (3, H, W).
        quality: As libjpeg counts it, 1 to 100.
    """
    height, width = image.shape[1:]
    padding = (0, -width % (2 * BLOCK), 0, -height % (2 * BLOCK))
    padded = F.pad(image.unsqueeze(0), padding, mode="replicate")[0]
    to_ycbcr = image.new_tensor(TO_YCBCR)
    luma, chroma = torch.einsum("dc,chw->dhw", to_ycbcr, padded * 255).split((1, 2))
    luma = _quantised(luma - 128, LUMA_TABLE, quality) + 128
    chroma = _quantised(F.avg_pool2d(chroma.unsqueeze(0), 2)[0], CHROMA_TABLE, quality)
    chroma = F.interpolate(chroma.unsqueeze(0), scale_factor=2.0, mode="bilinear")[0]
    rgb = torch.einsum("dc,chw->dhw", to_ycbcr.inverse(), torch.cat((luma, chroma)))
    return (rgb[:, :height, :width] / 255).clamp(0, 1)


def _quantised(planes: Tensor, table: tuple[tuple[int, ...], ...], quality: float) -> Tensor:
    """Round the cosine transform of the 8x8 blocks of (C, H, W)."""
    channels, height, width = planes.shape
    grid = planes.view(channels, height // BLOCK, BLOCK, width // BLOCK, BLOCK).transpose(2, 3)
    transform = _cosine_transform().to(planes)
    steps = _scaled(planes.new_tensor(table), quality).flatten()
    coefficients = grid.reshape(-1, BLOCK**2) @ transform.T
    restored = (coefficients / steps).round_().mul_(steps) @ transform
    return restored.view_as(grid).transpose(2, 3).reshape(planes.shape)


def _scaled(table: Tensor, quality: float) -> Tensor:
    """Scale a table as libjpeg does."""
    percent = 5000 / quality if quality < 50 else 200 - 2 * quality  # noqa: PLR2004 - libjpeg's
    return ((table * percent + 50) / 100).floor().clamp(1, 255)


@lru_cache(maxsize=1)
def _cosine_transform() -> Tensor:
    """Return the orthonormal matrix (64, 64) of the discrete cosine transform of a block."""
    row, column = torch.arange(BLOCK).unsqueeze(1), torch.arange(BLOCK)
    matrix = (math.pi * (2 * column + 1) * row / (2 * BLOCK)).cos() * math.sqrt(2 / BLOCK)
    matrix[0] /= math.sqrt(2)
    return torch.kron(matrix, matrix)
