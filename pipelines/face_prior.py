"""The three channels that PFCN+ sees beside a photo (Shen et al. 2016, "Automatic Portrait
Segmentation for Image Stylization").

Two say where a pixel lies relative to the face, the third where people usually are relative to it:
the mean mask of the training photos. All three are known in the frame of a reference face; the map
that carries a photo's landmarks to those of the reference brings them onto the photo. Kept is that
map, not the channels, so that they are exact for whatever view of the photo.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.affine import AffineMap, compose
from pipelines.images import Pixels

FARTHEST = 4.0
"""Positions end here, in sizes of the face, so that a small face gives no huge numbers."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ReferenceFrame:
    """The frame of the reference face.

    Attributes:
        mean_mask: Share of the training photos, aligned, that show a person here; (h, w) uint8,
            0-255. Nobody is beyond it.
        centre: x and y of the reference face in pixels.
        size: Of the reference face in pixels: the unit of the position channels.
        mirror: Map that brings the landmarks of the reference face closest to those that they
            become in a mirror image. Faces are turned and uneven, hence no plain exchange of left
            and right.
    """

    mean_mask: Pixels
    centre: tuple[float, float]
    size: float
    mirror: AffineMap


@dataclass(frozen=True, kw_only=True, eq=False)
class Face:
    """Where the face of a picture is.

    Attributes:
        alignment: Map from the pixels of the picture to those of the reference frame.
        frame: The reference frame.
    """

    alignment: AffineMap
    frame: ReferenceFrame

    def in_view(self, to_picture: AffineMap) -> "Face":
        """Return the face as a view of the picture shows it.

        In a mirror image left and right of the face are exchanged as well, because landmarks that
        are found there would call the right eye the left one.

        Args:
            to_picture: Map from the pixels of the view to those of the picture.
        """
        alignment = compose(self.alignment, to_picture)
        if np.linalg.det(to_picture[:, :2]) < 0:
            alignment = compose(self.frame.mirror, alignment)
        return replace(self, alignment=alignment)


def face_prior(face: Face | None, *, height: int, width: int) -> NDArray[np.float32]:
    """Return the position and shape channels of a picture.

    Paper is silent: on the unit of the positions, here the greater extent of the reference's
    landmarks, and on their limit `FARTHEST`.

    Args:
        face: Of the picture; None if its landmarks are not known, which gives zeros, as in the
            preparation of the paper's authors.
        height: Of the picture in pixels.
        width: Of the picture in pixels.

    Returns:
        (H, W, 3): x and y in the reference frame, zero in the centre of the reference face and
        in units of its size, and the mean mask in [0, 1].
    """
    prior = np.zeros((height, width, 3), np.float32)
    if face is None:
        return prior
    columns, rows = np.arange(width), np.arange(height)[:, None]
    for axis, (by_column, by_row, offset) in enumerate(face.alignment):
        position = by_column * columns + by_row * rows + (offset - face.frame.centre[axis])
        prior[..., axis] = (position / face.frame.size).clip(-FARTHEST, FARTHEST)
    backwards = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    shape = cv2.warpAffine(face.frame.mean_mask, face.alignment, (width, height), flags=backwards)
    prior[..., 2] = shape / np.float32(255)
    return prior
