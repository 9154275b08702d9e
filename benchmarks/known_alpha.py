"""A portrait made by code, whose alpha is known at every pixel, and what a network makes of it."""

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.images import Pixels

Floats = NDArray[np.float32]

HAIRS = 400

SOFTNESS = 1 / 2000
"""Standard deviation of the blur of all edges, as a share of the longer side: a sharp lens.

It is at least a pixel, so that edges are soft in small pictures, too.
"""

WORKING_SIDE = 320
"""Longer side of the network's map in pixels."""

UNSURE = 1.5
"""Standard deviation of the blur of that map, in its pixels."""

DISPLACED = 0.7
"""By how many of its pixels that map lies beside the person."""


def draw_portrait(*, height: int, width: int, seed: int = 0) -> tuple[Pixels, Floats]:
    """Draw head, shoulders and hair before a background of many colours.

    Returns:
        RGB (height, width, 3), and alpha (height, width) in [0, 1].
    """
    rng = np.random.default_rng(seed)
    alpha = cv2.GaussianBlur(
        _silhouette(height, width, rng), (0, 0), max(1.0, max(height, width) * SOFTNESS)
    ).astype(np.float32) / np.float32(255)
    person = _texture(height, width, rng, middle=(120, 75, 55), spread=50)
    ground = _texture(height, width, rng, middle=(140, 165, 175), spread=90)
    photo = ground + (person - ground) * alpha[..., None]
    noise = rng.normal(0, 2, (height, width, 1)).astype(np.float32)
    return (photo + noise).round().clip(0, 255).astype(np.uint8), alpha


def seen_by_a_network(alpha: Floats) -> Floats:
    """Return alpha (H, W) as a small map (h, w) that is blurred and lies a little beside it."""
    height, width = alpha.shape
    scale = WORKING_SIDE / max(height, width)
    size = round(width * scale), round(height * scale)
    small = cv2.resize(alpha, size, interpolation=cv2.INTER_AREA)
    aside = np.array([[1, 0, DISPLACED], [0, 1, 0]], np.float32)
    moved = cv2.warpAffine(small, aside, size, borderMode=cv2.BORDER_REPLICATE)
    blurred = cv2.GaussianBlur(moved, (0, 0), UNSURE)
    return np.asarray((blurred * 1.04 - 0.02).clip(0, 1), np.float32)


def _silhouette(height: int, width: int, rng: np.random.Generator) -> Pixels:
    """Return 255 where the person is, else 0."""
    mask = np.zeros((height, width), np.uint8)
    head = int(width * 0.5), int(height * 0.38)
    axes = int(width * 0.17), int(height * 0.18)
    shoulders = int(width * 0.5), int(height * 1.02)
    cv2.ellipse(mask, head, axes, 0, 0, 360, 255, -1)
    cv2.ellipse(mask, shoulders, (int(width * 0.4), int(height * 0.42)), 0, 0, 360, 255, -1)
    thickness = max(1, width // 1000)
    for angle in rng.uniform(np.pi, 2 * np.pi, HAIRS):
        reach = rng.uniform(1, 1.25, 3) - np.array([0.1, 0, 0])
        bend = angle + np.array([0, 0.05, 0.1]) * rng.normal()
        points = np.stack(
            (head[0] + axes[0] * reach * np.cos(bend), head[1] + axes[1] * reach * np.sin(bend)), 1
        )
        cv2.polylines(
            mask, [points.astype(np.int32)], isClosed=False, color=255, thickness=thickness
        )
    return mask


def _texture(
    height: int, width: int, rng: np.random.Generator, *, middle: tuple[int, ...], spread: int
) -> Floats:
    """Return smooth patches of colour around one, RGB (height, width, 3)."""
    patches = rng.uniform(-spread, spread, (12, 9, 3)) + np.array(middle)
    return cv2.resize(patches.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
