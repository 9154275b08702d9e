"""Datasets made by code, and runs of `segment`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from figures import Picture, draw_person, draw_portrait, write_pairs
from PIL import Image
from s3_server import Bucket
from scipy.io import savemat
from training import RECIPE

from models import build_model
from pipelines.checkpoints import WeightsInfo, load_weights, save_weights
from pipelines.export import export_weights
from pipelines.segment import SegmentOptions, SegmentSummary, segment

Run = Callable[..., SegmentSummary]


@pytest.fixture(scope="session")
def shipped_onnx(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The weights that come with banet, exported."""
    path = tmp_path_factory.mktemp("shipped") / "banet-64.onnx"
    path.write_bytes(export_weights(load_weights("banet-64")))
    return str(path)


@pytest.fixture
def write_pairs_to() -> Callable[[Path, int], None]:
    """Let a test write a dataset of its own."""
    return write_pairs


@pytest.fixture
def person() -> Callable[..., tuple[Picture, Picture]]:
    """Let a test draw a figure of its own."""
    return draw_person


@pytest.fixture
def pfcn_folder(tmp_path: Path) -> Path:
    """A dataset in the layout `pfcn`: 1 and 2 whole, 3 a copy of 1, 4 and 9 without a photo."""
    root = tmp_path / "pfcn"
    for folder in ("images_data_crop", "images_mask"):
        (root / folder).mkdir(parents=True)
    for number in (1, 2, 3):
        photo, mask = draw_portrait(1 if number == 3 else number)
        Image.fromarray(photo).save(root / "images_data_crop" / f"{number:05d}.jpg", quality=95)
        path = root / "images_mask" / f"{number:05d}_mask.mat"
        savemat(path, {"mask": (mask // 255).astype(np.uint8)})
    savemat(root / "trainlist.mat", {"trainlist": np.array([[1, 3, 4]], np.uint16)})
    savemat(root / "testlist.mat", {"testlist": np.array([[2, 9]], np.uint16)})
    return root


@pytest.fixture
def run(weights_file: str) -> Run:
    """Call the pipeline in the calling thread, unless told otherwise."""

    def call(*inputs: Path | str, progress: Any = None, **options: Any) -> SegmentSummary:
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


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    """Path of a recipe for a short run."""
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE)
    return str(path)


@pytest.fixture
def spoilt_weights(tmp_path: Path) -> str:
    """Weights whose answer to any photo is not a number."""
    path = tmp_path / "spoilt.safetensors"
    network = build_model("banet-64")
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(torch.nan)
    save_weights(path, network, WeightsInfo(model="banet-64", temperature=2.0, size=64))
    return str(path)


@pytest.fixture
def url(bucket: Bucket, photos: Path) -> str:
    """The folder `photos` in that bucket."""
    return bucket.upload(photos, "photos")
