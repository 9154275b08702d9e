"""Datasets made by code, simple figures before textured grounds; and runs of `segment`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.io import savemat

from pipelines.prepare import PrepareOptions, prepare
from pipelines.segment import SegmentOptions, SegmentSummary, segment

Picture = NDArray[np.uint8]
Run = Callable[..., SegmentSummary]


def draw_person(seed: int, *, height: int = 120, width: int = 90) -> tuple[Picture, Picture]:
    """Return a photo (H, W, 3) of a figure of one colour, and its mask (H, W), 0 or 255."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    centre = width * rng.uniform(0.4, 0.6)
    head = (rows - height * 0.3) ** 2 + (columns - centre) ** 2 < (height * 0.15) ** 2
    body = (rows > height * 0.5) & (abs(columns - centre) < width * 0.3)
    person = head | body
    ground = rng.integers(0, 90, (height, width, 3))
    figure = np.array([200, 160, 120]) + rng.integers(-20, 20, (height, width, 3))
    photo = np.where(person[..., None], figure, ground).astype(np.uint8)
    return photo, person.astype(np.uint8) * 255


@pytest.fixture(scope="session")
def pairs_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean dataset of 24 pairs; tests that damage one make their own copy."""
    root = tmp_path_factory.mktemp("pairs")
    write_pairs(root, 24)
    return root


def write_pairs(root: Path, count: int) -> None:
    """Write images/NN.png and masks/NN.png; PNG, so that content hashes never change."""
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for number in range(count):
        photo, mask = draw_person(number)
        Image.fromarray(photo).save(root / "images" / f"{number:02d}.png")
        Image.fromarray(mask).save(root / "masks" / f"{number:02d}.png")


@pytest.fixture
def write_pairs_to() -> Callable[[Path, int], None]:
    """Let a test write a dataset of its own."""
    return write_pairs


@pytest.fixture
def person() -> Callable[..., tuple[Picture, Picture]]:
    """Let a test draw a figure of its own."""
    return draw_person


@pytest.fixture(scope="session")
def prepared(pairs_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The clean dataset as a store of 64-pixel frames, two thirds of it for training."""
    dataset = tmp_path_factory.mktemp("prepared") / "pairs.zarr"
    options = PrepareOptions(
        source=pairs_folder, dataset=dataset, size=64, split=(0.6, 0.4, 0.0), workers=0
    )
    prepare(options)
    return dataset


@pytest.fixture
def pfcn_folder(tmp_path: Path) -> Path:
    """A dataset in the layout `pfcn`: 1 and 2 whole, 3 a copy of 1, 4 and 9 without a photo."""
    root = tmp_path / "pfcn"
    for folder in ("images_data_crop", "images_mask"):
        (root / folder).mkdir(parents=True)
    for number in (1, 2, 3):
        photo, mask = draw_person(1 if number == 3 else number)
        Image.fromarray(photo).save(root / "images_data_crop" / f"{number:05d}.jpg", quality=95)
        path = root / "images_mask" / f"{number:05d}_mask.mat"
        savemat(path, {"mask": (mask // 255).astype(np.uint8)})
    savemat(root / "trainlist.mat", {"trainlist": np.array([[1, 3, 4]], np.uint16)})
    savemat(root / "testlist.mat", {"testlist": np.array([[2, 9]], np.uint16)})
    return root


@pytest.fixture
def run(weights_file: str) -> Run:
    """Call the pipeline in the calling thread, unless told otherwise."""

    def call(*inputs: Path, progress: Any = None, **options: Any) -> SegmentSummary:
        chosen = {"weights": weights_file, "workers": 0, "precision": "fp32", **options}
        return segment(SegmentOptions(inputs=inputs, **chosen), progress=progress)

    return call


@pytest.fixture
def photos(tmp_path: Path, write_photo: Callable[..., Path]) -> Path:
    """A folder of five photos, one of them below."""
    folder = tmp_path / "photos"
    for index in range(4):
        write_photo(folder / f"{index}.png", seed=index)
    write_photo(folder / "below" / "portrait.jpg", width=30, height=50)
    return folder


@pytest.fixture
def touch(tmp_path: Path) -> Callable[..., Path]:
    """Create empty files of these names, and return the folder that they are in."""

    def create(*names: str) -> Path:
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return tmp_path

    return create
