"""Landmarks of faces made by code, as files of the dataset of Shen et al. hold them."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.io import savemat

from pipelines.landmarks import LANDMARKS, MIRRORED


def symmetric_face(x: float, y: float, *, size: float = 20.0) -> NDArray[np.float64]:
    """Return landmarks (49, 2) about (x, y) that the vertical line through it mirrors."""
    numbers = np.arange(LANDMARKS)
    one_side = np.random.default_rng(0).uniform((0.05, -0.5), (0.5, 0.5), (LANDMARKS, 2))
    face = one_side[np.minimum(numbers, MIRRORED)]
    face[:, 0] *= np.sign(numbers - MIRRORED)
    face[:, 1] -= face[:, 1].mean()
    return face * size + (x, y)


def write_landmarks(root: Path, number: int, landmarks: NDArray[np.float64]) -> Path:
    """Write the landmarks of a photo in the layout `pfcn`."""
    path = root / "images_tracker" / f"{number:05d}.mat"
    path.parent.mkdir(exist_ok=True)
    savemat(path, {"tracker": landmarks.astype(np.float32)})
    return path


def write_reference(
    root: Path, landmarks: NDArray[np.float64], mean_mask: NDArray[np.uint8]
) -> None:
    """Write the reference face and the mean mask in the layout `pfcn`."""
    write_landmarks(root, 47, landmarks)
    Image.fromarray(mean_mask).save(root / "meanmask.png")
