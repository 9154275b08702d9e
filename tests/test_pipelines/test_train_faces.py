"""Training and scoring of a network that sees position and shape channels beside the photo."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import zarr
from faces import symmetric_face, write_landmarks, write_reference
from PIL import Image
from scipy.io import savemat
from torch import Tensor, nn

from models import MODELS, ModelSpec, Prediction
from pipelines.batches import BatchSource
from pipelines.checkpoints import WeightsInfo, load_weights, save_weights
from pipelines.draws import Draws
from pipelines.evaluate import EvaluateOptions, EvaluateSummary, evaluate
from pipelines.prepare import PrepareOptions, prepare
from pipelines.recipes import Recipe, recipe_from_table
from pipelines.segment import SegmentOptions, segment
from pipelines.train import TrainOptions, train
from pipelines.trainingdata import TrainingData, load_training_data

MODEL = "six-channel"
PHOTOS = 12
RECIPE = "iterations = 4\nbatch_size = 4\nsize = 48\nlearning_rate = 0.1\nvalidate_every = 4\n"

Person = Callable[..., tuple[np.ndarray, np.ndarray]]


class SixChannel(nn.Module):
    """Calls a pixel a person by a weighted sum of its own six channels."""

    def __init__(self) -> None:
        super().__init__()
        self.weigh = nn.Conv2d(6, 1, 1)

    def forward(self, image: Tensor, prior: Tensor | None = None) -> Prediction:
        prior = torch.zeros_like(image) if prior is None else prior
        return Prediction(portrait=self.weigh(torch.cat((image, prior), dim=1)), boundary=None)


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODELS, MODEL, ModelSpec(build=SixChannel, face_prior=True))


@pytest.fixture
def with_faces(tmp_path: Path, person: Person) -> Path:
    """A store of one figure, moved about with its face; the mean mask is its mask.

    Its grounds differ, so that the photos are no near duplicates, which would share a split.
    """
    root = tmp_path / "pfcn"
    for folder in ("images_data_crop", "images_mask"):
        (root / folder).mkdir(parents=True)
    photo, mask = person(1)
    write_reference(root, symmetric_face(45, 36), mask)
    for number in range(100, 100 + PHOTOS):
        across = number - 105
        path = root / "images_data_crop" / f"{number:05d}.jpg"
        moved = np.roll(mask, across, axis=1) // 255
        shades = np.random.default_rng(number).integers(0, 256, (8, 6, 3), np.uint8)
        ground = Image.fromarray(shades).resize(photo.shape[1::-1])
        figure = np.roll(photo, across, axis=1)
        shown = np.where(moved[..., None], figure, np.asarray(ground))
        Image.fromarray(shown).save(path, quality=95)
        savemat(root / "images_mask" / f"{number:05d}_mask.mat", {"mask": moved})
        write_landmarks(root, number, symmetric_face(45 + across, 36))
    savemat(root / "trainlist.mat", {"trainlist": np.arange(100, 100 + PHOTOS)})
    options = PrepareOptions(
        source=root, dataset=tmp_path / "faces.zarr", size=64, split=(0.6, 0.4, 0), workers=0
    )
    prepare(options)
    return options.dataset


@pytest.fixture
def believing(tmp_path: Path) -> str:
    """Weights that call a person what the mean mask calls one, whatever the photo shows."""
    network = SixChannel()
    with torch.no_grad():
        network.weigh.weight.zero_()
        network.weigh.weight[0, 5] = 40.0
        network.weigh.bias.fill_(-20.0)
    path = tmp_path / "believing.safetensors"
    save_weights(path, network, WeightsInfo(model=MODEL, temperature=None, size=64))
    return str(path)


def run(dataset: Path, out: Path, **changes: object) -> nn.Module:
    """Train by the recipe and return the network."""
    recipe = out.parent / "recipe.toml"
    recipe.write_text(RECIPE)
    values = {"model": MODEL, "recipe": str(recipe), "precision": "fp32", "device": "cpu"}
    train(TrainOptions(datasets=(dataset,), out=out, **{**values, **changes}))
    return load_weights(str(out / "weights.safetensors")).network


def scored(dataset: Path, weights: str) -> EvaluateSummary:
    return evaluate(
        EvaluateOptions(datasets=(dataset,), weights=(weights,), split="all", device="cpu")
    )


def source_of(data: TrainingData, recipe: Recipe) -> BatchSource:
    return BatchSource(Draws(data.training, recipe, seed=0, device=torch.device("cpu")))


def test_training_teaches_the_weights_of_the_prior(with_faces: Path, tmp_path: Path) -> None:
    network = run(with_faces, tmp_path / "run")
    torch.manual_seed(0)
    change = (network.weigh.weight - SixChannel().weigh.weight).abs().flatten()
    assert change.shape == (6,)
    assert (change > 1e-4).all()


def test_training_without_landmarks_gives_zeros_and_says_so(
    prepared: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    network = run(prepared, tmp_path / "run")
    torch.manual_seed(0)
    change = (network.weigh.weight - SixChannel().weigh.weight).flatten()
    assert change[:3].abs().min() > 1e-4
    # Weights of channels that are always zero feel nothing but the decay of weights.
    assert change[3:].abs().max() < 1e-3
    assert "no landmarks for the split 'train'" in caplog.text


def test_prior_of_a_batch_lies_on_its_people(with_faces: Path) -> None:
    recipe = recipe_from_table({"iterations": 2, "batch_size": 6, "size": 48}, where="test")
    data = load_training_data([with_faces], faces=True)
    for batch in source_of(data, recipe).batches(0):
        assert batch.prior is not None
        assert batch.prior.shape == batch.image.shape
        agrees = (batch.prior[:, 2:] > 0.5) == (batch.mask > 0.5)
        assert agrees[batch.valid > 0].float().mean() > 0.95


def test_other_networks_pay_nothing(with_faces: Path) -> None:
    recipe = recipe_from_table({"iterations": 1, "batch_size": 4, "size": 48}, where="test")
    data = load_training_data([with_faces])
    assert {each.face for each in data.training[0].photos} == {None}
    assert source_of(data, recipe).batch(0).prior is None


def test_photos_without_a_face_have_zeros_in_a_mixed_batch(
    with_faces: Path, prepared: Path
) -> None:
    recipe = recipe_from_table({"iterations": 1, "batch_size": 16, "size": 48}, where="test")
    data = load_training_data([with_faces, prepared], faces=True)
    prior = source_of(data, recipe).batch(0).prior
    assert prior is not None
    assert set(prior.abs().amax(dim=(1, 2, 3)).gt(0).tolist()) == {True, False}


def test_evaluation_gives_the_prior(with_faces: Path, believing: str) -> None:
    assert scored(with_faces, believing).results[0].scores.portrait_iou > 0.9


def test_evaluation_without_landmarks_gives_zeros_and_says_so(
    prepared: Path, believing: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert scored(prepared, believing).results[0].scores.portrait_iou == 0
    assert "no landmarks for the split 'all'" in caplog.text


def test_empty_mean_mask_is_said(
    with_faces: Path, believing: str, caplog: pytest.LogCaptureFixture
) -> None:
    zarr.open_group(with_faces, mode="r+")["mean_mask"][:] = 0
    load_training_data([with_faces], faces=True)
    scored(with_faces, believing)
    for split in ("train", "val", "all"):
        assert (
            f"mean mask is empty, so that the shape channel of the split {split!r}" in caplog.text
        )


def test_segment_knows_no_landmarks(believing: str, photos: Path) -> None:
    options = SegmentOptions(
        inputs=(photos,), weights=believing, workers=0, precision="fp32", device="cpu"
    )
    summary = segment(options)
    assert summary.empty == summary.discovered == 5
