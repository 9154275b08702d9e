import os
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
import torch
from figures import write_pairs
from numpy.typing import NDArray
from PIL import Image
from s3_server import ENVIRONMENT, Bucket, s3_server

from models import build_model
from pipelines.checkpoints import WeightsInfo, save_weights
from pipelines.export import ExportOptions, ExportSummary, export
from pipelines.file_systems import open_url
from pipelines.prepare import PrepareOptions, prepare

WritePhoto = Callable[..., Path]

FORGOTTEN: list[object] = []

# On cores that others use too, several threads for tiny tensors wait for each other for minutes.
torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"  # those of processes that tests start


@pytest.fixture(scope="session")
def weights_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Weights of an untrained banet-64 with a working size that is quick to compute."""
    path = tmp_path_factory.mktemp("weights") / "untrained.safetensors"
    torch.manual_seed(0)
    network = build_model("banet-64")
    save_weights(path, network, WeightsInfo(model="banet-64", temperature=2.0, size=64))
    return str(path)


@pytest.fixture(scope="session")
def exported(weights_file: str, tmp_path_factory: pytest.TempPathFactory) -> ExportSummary:
    """What exporting the same weights told."""
    path = tmp_path_factory.mktemp("onnx") / "new" / "untrained.onnx"
    return export(ExportOptions(weights=weights_file, out=path))


@pytest.fixture(scope="session")
def onnx_file(exported: ExportSummary) -> str:
    """The same weights as an exported network."""
    return str(exported.out)


@pytest.fixture(scope="session")
def write_photo() -> WritePhoto:
    """Write a colourful picture that is no mirror image of itself, as the suffix says."""

    def write(path: Path, *, width: int = 60, height: int = 40, seed: int = 0) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(colourful(height=height, width=width, seed=seed)).save(path)
        return path

    return write


def colourful(*, height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """Return smooth random colours, RGB (height, width, 3)."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), np.uint8)
    picture = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(picture)


@pytest.fixture(scope="session")
def pairs_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean dataset of 24 pairs; tests that damage one make their own copy."""
    root = tmp_path_factory.mktemp("pairs")
    write_pairs(root, 24)
    return root


@pytest.fixture(scope="session")
def prepared(pairs_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The clean dataset as a store of 64-pixel frames, two thirds of it for training."""
    dataset = tmp_path_factory.mktemp("prepared") / "pairs.zarr"
    options = PrepareOptions(
        source=pairs_folder, dataset=dataset, size=64, split=(0.6, 0.4, 0.0), workers=0
    )
    prepare(options)
    return dataset


@pytest.fixture(scope="session")
def s3_address() -> Iterator[str]:
    """The address of a server of S3."""
    with s3_server() as address:
        yield address


@pytest.fixture
def bucket(s3_address: str, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """A bucket of its own for a test, which the environment gives access to."""
    import boto3

    for name, value in {**ENVIRONMENT, "AWS_ENDPOINT_URL": s3_address}.items():
        monkeypatch.setenv(name, value)
    return Bucket(boto3.client("s3"), f"test-{uuid4().hex}")


@pytest.fixture
def other_access() -> Iterator[None]:
    """Let a test have other credentials or another endpoint than those before and after it."""
    import s3fs

    def forget() -> None:
        open_url.cache_clear()
        # Kept, for nobody can close the connections of those that zarr reads through.
        FORGOTTEN.extend(s3fs.S3FileSystem._cache.values())
        s3fs.S3FileSystem.clear_instance_cache()

    forget()
    yield
    forget()
