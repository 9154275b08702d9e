"""Landmarks of faces, and the reference face that they are aligned with."""

import hashlib
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray

from pipelines.affine import fit
from pipelines.errors import MissingFileError, PhotoError
from pipelines.face_prior import ReferenceFrame
from pipelines.images import Pixels
from pipelines.storage import FilePath, Location
from pipelines.whole_files import read_bytes

LANDMARKS = 49
"""Landmarks of one face: brows, nose, eyes and mouth."""

_MIRRORED_PARTS = (
    (9, 8, 7, 6, 5, 4, 3, 2, 1, 0),  # brows
    (10, 11, 12, 13, 18, 17, 16, 15, 14),  # ridge of the nose, and below it
    (28, 27, 26, 25, 30, 29, 22, 21, 20, 19, 24, 23),  # eyes, each from its left corner round
    (37, 36, 35, 34, 33, 32, 31, 42, 41, 40, 39, 38),  # outer lips
    (45, 44, 43, 48, 47, 46),  # inner lips
)
MIRRORED = np.concatenate(_MIRRORED_PARTS)
"""Which landmark each one becomes in a mirror image."""

Landmarks = NDArray[np.float64]
"""x and y in pixels of the upright photo, (49, 2)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LandmarkFile:
    """What a file says about the faces of a photo.

    Attributes:
        points: Of the largest face; None if the file holds none, cannot be used, or is not there.
        faces: How many it holds; None if it cannot be used or is not there.
        sha256: Of the file, empty if it cannot be read.
        problem: Why it cannot be used.
    """

    points: Landmarks | None = None
    faces: int | None = None
    sha256: str = ""
    problem: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class ReferenceFace:
    """The face that all others are aligned with.

    Attributes:
        landmarks: In pixels of the reference frame.
        mean_mask: (h, w) uint8, see `ReferenceFrame`.
    """

    landmarks: Landmarks
    mean_mask: Pixels

    @property
    def frame(self) -> ReferenceFrame:
        """Its frame, with centre and size as its landmarks have it."""
        x, y = self.landmarks.mean(axis=0).tolist()
        size = float(np.ptp(self.landmarks, axis=0).max())
        mirror = fit(self.landmarks, self.landmarks[MIRRORED])
        return ReferenceFrame(mean_mask=self.mean_mask, centre=(x, y), size=size, mirror=mirror)

    @property
    def sha256(self) -> str:
        """Hash of all that it is made of."""
        shape = np.array(self.mean_mask.shape).tobytes()
        content = self.landmarks.tobytes() + shape + self.mean_mask.tobytes()
        return hashlib.sha256(content).hexdigest()


def read_landmarks(path: FilePath | Location | None) -> LandmarkFile:
    """Read a MATLAB file whose variable `tracker` holds the landmarks of any number of faces.

    The file need not exist, and None stands for a source that has no such files.

    Paper is silent: where there are several faces, the largest counts, since a portrait is of it
    and the small ones are often none at all.
    """
    if path is None:
        return LandmarkFile()
    try:
        content = read_bytes(path)
    except MissingFileError:
        return LandmarkFile()
    except PhotoError as error:
        return LandmarkFile(problem=f"{path}: {error}")
    sha256 = hashlib.sha256(content).hexdigest()
    try:
        faces = _faces(content)
    except PhotoError as error:
        return LandmarkFile(sha256=sha256, problem=f"{path}: {error}")
    points = max(faces, key=lambda face: np.ptp(face, axis=0).prod(), default=None)
    return LandmarkFile(points=points, faces=len(faces), sha256=sha256)


def _faces(content: bytes) -> list[Landmarks]:
    from scipy.io import loadmat  # here, since most runs read no file of MATLAB

    try:
        tracker = loadmat(BytesIO(content), variable_names=["tracker"])["tracker"]
    except KeyError:
        raise PhotoError("MATLAB file without a variable 'tracker'") from None
    except Exception as error:  # damaged files raise nearly anything
        raise PhotoError(f"damaged MATLAB file: {error}") from error
    if tracker.size == 0:
        return []
    match tracker.shape:
        case (count, 2) if count % LANDMARKS == 0 and tracker.dtype.kind in "buif":
            faces = list(tracker.astype(np.float64).reshape(-1, LANDMARKS, 2))
        case shape:
            raise PhotoError(f"landmarks of shape {shape}, expected {LANDMARKS} rows of x and y")
    if not np.isfinite(tracker).all() or any(_is_flat(face) for face in faces):
        raise PhotoError("landmarks that are no numbers, or lie on one line")
    return faces


def _is_flat(face: Landmarks) -> bool:
    return bool(np.linalg.matrix_rank(face - face.mean(axis=0)) < face.shape[1])
