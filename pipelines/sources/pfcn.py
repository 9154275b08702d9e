"""The layout `pfcn`: the dataset of Shen et al. 2016, "Automatic Portrait Segmentation for Image
Stylization", as its authors publish it.

`trainlist.mat` and `testlist.mat` hold numbers; the photo of number N is
`images_data_crop/NNNNN.jpg`, its mask the variable `mask` of `images_mask/NNNNN_mask.mat`. Many of
the photos have vanished from the web, so that a list names more samples than there are files.
"""

from pathlib import Path

import numpy as np
from scipy.io import loadmat

from pipelines.errors import InputError
from pipelines.sources.sample import Sample

LISTS = {"train": "trainlist", "test": "testlist"}


def matches(root: Path) -> bool:
    """Tell whether `root` has the folders of the dataset."""
    return (root / "images_data_crop").is_dir() and (root / "images_mask").is_dir()


def discover(root: Path) -> list[Sample]:
    """List what the two lists name, each in the order of its numbers.

    Raises:
        InputError: There is no list, or one is damaged.
    """
    lists = {split: root / f"{name}.mat" for split, name in LISTS.items()}
    present = {split: path for split, path in lists.items() if path.is_file()}
    if not present:
        raise InputError(f"{root}: neither trainlist.mat nor testlist.mat is there")
    return [
        _sample(root, number, split)
        for split, path in present.items()
        for number in _numbers(path, LISTS[split])
    ]


def _numbers(path: Path, variable: str) -> list[int]:
    try:
        return sorted(np.ravel(loadmat(path)[variable]).astype(int).tolist())
    except Exception as error:  # damaged files raise nearly anything
        raise InputError(
            f"{path}: not a readable list of numbers {variable!r} ({error})"
        ) from error


def _sample(root: Path, number: int, split: str) -> Sample:
    name = f"{number:05d}"
    return Sample(
        name=name,
        photo=root / "images_data_crop" / f"{name}.jpg",
        mask=root / "images_mask" / f"{name}_mask.mat",
        split=split,
    )
