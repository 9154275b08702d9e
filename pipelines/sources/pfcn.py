"""The layout `pfcn`: the dataset of Shen et al. 2016, "Automatic Portrait Segmentation for Image
Stylization", as its authors publish it.

`trainlist.mat` and `testlist.mat` hold numbers; the photo of number N is
`images_data_crop/NNNNN.jpg`, its mask the variable `mask` of `images_mask/NNNNN_mask.mat`, and the
landmarks of its face, if one was found, the variable `tracker` of `images_tracker/NNNNN.mat`. Many
of the photos have vanished from the web, so that a list names more samples than there are files.
"""

import logging
from collections.abc import Iterator
from io import BytesIO

import numpy as np

from pipelines.errors import InputError, MissingFileError, PhotoError
from pipelines.images import Pixels
from pipelines.landmarks import ReferenceFace, read_landmarks
from pipelines.mask_pictures import decode_mask
from pipelines.sources.classes import Classes, refuse_classes
from pipelines.sources.files import SourceFiles
from pipelines.sources.mask_origin import MaskFile
from pipelines.sources.sample import Sample
from pipelines.storage import Location, path_in
from pipelines.whole_files import read_bytes

LISTS = {"train": "trainlist", "test": "testlist"}

REFERENCE_PHOTO = "00047"
"""The photo whose face the dataset's authors align all others with."""

_REMEDY = "copy it again from where the dataset came, make it readable, or prepare without it"

logger = logging.getLogger(__name__)


def matches(files: SourceFiles) -> bool:
    """Tell whether there are the folders of the dataset."""
    return not files.chosen and {"images_data_crop", "images_mask"} <= set(files.folders())


def discover(files: SourceFiles, classes: Classes) -> Iterator[Sample]:
    """List what the two lists name, each in the order of its numbers.

    Raises:
        ConfigError: Classes are chosen.
        InputError: There is no list, or one is damaged.
    """
    refuse_classes(classes, "pfcn")
    present = {split: name for split, name in LISTS.items() if f"{name}.mat" in files.names}
    if not present:
        raise InputError(f"{files.root}: neither trainlist.mat nor testlist.mat is there")
    return (
        _sample(files.root, number, split)
        for split, name in present.items()
        for number in _numbers(files.path(f"{name}.mat"), name)
    )


def reference_face(root: Location) -> ReferenceFace | None:
    """Return the face that all others are aligned with, None if its landmarks are not there.

    Raises:
        InputError: Its landmarks or the mean mask are there and cannot be used.
    """
    path = root / "images_tracker" / f"{REFERENCE_PHOTO}.mat"
    found = read_landmarks(path)
    if found.faces is None and not found.problem:
        logger.warning(
            "%s is not there: without the landmarks of the reference face no sample gets a face "
            "alignment",
            path,
        )
        return None
    if found.points is None:
        problem = found.problem or f"{path}: holds no landmarks of the reference face"
        raise InputError(f"{problem}; {_REMEDY}")
    return ReferenceFace(landmarks=found.points, mean_mask=_mean_mask(root / "meanmask.png"))


def _mean_mask(path: Location) -> Pixels:
    try:
        mean_mask = decode_mask(read_bytes(path)).values
    except MissingFileError:
        logger.warning("%s is not there: the shape channel of all samples is zero", path)
        return np.zeros((1, 1), np.uint8)
    except PhotoError as error:
        raise InputError(f"{path}: {error}; {_REMEDY}") from error
    if mean_mask.dtype != np.uint8:
        raise InputError(f"{path}: 16-bit grey, expected 8-bit; {_REMEDY}")
    return mean_mask.astype(np.uint8)


def _numbers(path: Location, variable: str) -> list[int]:
    from scipy.io import loadmat  # here, since most runs read no file of MATLAB

    try:
        return sorted(np.ravel(loadmat(BytesIO(read_bytes(path)))[variable]).astype(int).tolist())
    except Exception as error:  # damaged files raise nearly anything
        raise InputError(
            f"{path}: not a readable list of numbers {variable!r} ({error})"
        ) from error


def _sample(root: Location, number: int, split: str) -> Sample:
    name = f"{number:05d}"
    return Sample(
        name=name,
        photo=path_in(root, f"images_data_crop/{name}.jpg"),
        mask=MaskFile(path_in(root, f"images_mask/{name}_mask.mat")),
        landmarks=path_in(root, f"images_tracker/{name}.mat"),
        split=split,
    )
