from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from views import prepared as prepared_photo

from pipelines.augmentation.framing import draw_framing
from pipelines.augmentation.render import Batch, joined
from pipelines.augmentation.settings import Augmentation
from pipelines.augmentation.warp import DevicePhotos, Warp, warp_on_host
from pipelines.batches import BatchSource
from pipelines.recipes import Recipe, recipe_from_table
from pipelines.trainingdata import TrainingSet, load_training_data

CPU = torch.device("cpu")

DEVICES = [
    "cpu",
    pytest.param(
        "cuda",
        marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU"),
    ),
]

EVERYTHING = {
    "view": 0.7,
    "grey": 0.2,
    "colour": 0.5,
    "compression": 0.5,
    "blur": 0.5,
    "noise": 0.5,
    "background": 0.5,
}


def recipe_of(**settings: object) -> Recipe:
    table = {"iterations": 4, "batch_size": 4, "size": 48, "augmentation": EVERYTHING}
    return recipe_from_table({**table, **settings}, where="test")


def same(one: Batch, other: Batch) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one[:4], other[:4], strict=True))


def test_a_batch_is_a_function_of_seed_and_iteration(prepared: Path) -> None:
    data, recipe = load_training_data([prepared]), recipe_of()
    first, again, other = (
        BatchSource(data.training, recipe, seed=seed, device=CPU) for seed in (1, 1, 2)
    )
    batches = list(first.batches(0))
    assert len(batches) == 4
    assert all(map(same, again.batches(2), batches[2:]))
    assert same(again.batch(1), batches[1])
    assert not same(other.batch(0), batches[0])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_a_gpu_makes_the_batches_of_a_cpu(prepared: Path) -> None:
    data, recipe = load_training_data([prepared]), recipe_of()
    pairs = zip(
        BatchSource(data.training, recipe, seed=1, device=CPU).batches(0),
        BatchSource(data.training, recipe, seed=1, device=torch.device("cuda")).batches(0),
        strict=True,
    )
    for one, other in pairs:
        assert (one.image - other.image.cpu()).abs().mean() < 0.02
        for mine, theirs in zip(one[1:4], other[1:4], strict=True):
            assert (mine - theirs.cpu()).abs().mean() < 0.01


def test_shares_of_several_processes_make_up_the_batch(prepared: Path) -> None:
    data, recipe = load_training_data([prepared]), recipe_of()
    whole, *shares = (
        BatchSource(data.training, recipe, seed=1, device=CPU, share=share).batch(2)
        for share in ((0, 1), (0, 2), (1, 2))
    )
    assert same(joined(shares), whole)


def test_values_are_those_that_the_losses_ask_for(prepared: Path) -> None:
    data = load_training_data([prepared])
    for batch in BatchSource(data.training, recipe_of(), seed=0, device=CPU).batches(0):
        assert {plane.dtype for plane in batch[:4]} == {torch.float32}
        assert batch.image.shape == (4, 3, 48, 32)
        for plane in (batch.image, batch.mask):
            assert plane.min() >= 0
            assert plane.max() <= 1
        for plane in (batch.boundary, batch.valid):
            assert set(plane.unique().tolist()) <= {0, 1}


def test_every_epoch_shows_every_photo_once() -> None:
    mask = np.zeros((32, 32), np.uint8)
    photos = [prepared_photo(np.full((32, 32, 3), n, np.uint8), mask) for n in range(10)]
    still = {"rotation": 0, "lightness": [1, 1], "flip": 0}
    recipe = recipe_of(iterations=6, batch_size=5, size=32, augmentation=still)
    source = BatchSource([TrainingSet(photos, [])], recipe, seed=1, device=CPU)
    values = [(255 * batch.image[:, 0, 16, 12]).round().int() for batch in source.batches(0)]
    seen = [sorted(set(each.tolist())) for each in values]
    epochs = [sorted(seen[i] + seen[i + 1]) for i in range(0, 6, 2)]
    assert epochs == [list(range(10))] * 3
    assert seen[0] != seen[2]


def test_store_that_memory_does_not_hold_gives_the_same_batches(prepared: Path) -> None:
    resident = load_training_data([prepared])
    streamed = load_training_data([prepared], memory=0)
    assert [each.resident for each in resident.training + streamed.training] == [True, False]
    recipe = recipe_of()
    pairs = zip(
        BatchSource(resident.training, recipe, seed=3, device=CPU).batches(1),
        BatchSource(streamed.training, recipe, seed=3, device=CPU).batches(1),
        strict=True,
    )
    assert all(same(*pair) for pair in pairs)


@pytest.mark.parametrize("replaced", [False, True])
@pytest.mark.parametrize("scale", [0.15, 0.5, 1.4])
@pytest.mark.parametrize("device", DEVICES)
def test_views_made_on_a_device_are_those_made_by_opencv(
    person: Callable[..., tuple[np.ndarray, np.ndarray]],
    device: str,
    scale: float,
    *,
    replaced: bool,
) -> None:
    """On a CPU too, what a GPU would do."""
    shapes = [(240, 180), (160, 200), (200, 200)]
    photos = [
        prepared_photo(*person(n, height=height, width=width))
        for n, (height, width) in enumerate(shapes)
    ]
    height, width = round(240 * scale), round(180 * scale)
    augmentation = Augmentation(view=1.0, view_heights=(0.8, 2.0))
    framings = [
        draw_framing(
            photos[n % 3],
            height=height,
            width=width,
            augmentation=augmentation,
            replaced=replaced,
            rng=np.random.default_rng(n),
        )
        for n in range(12)
    ]
    warps = [
        Warp(n % 3, photos[n % 3].level_for(framing.scale), framing, replaced=replaced)
        for n, framing in enumerate(framings)
    ]
    host = warp_on_host(photos, warps, height=height, width=width)
    held = DevicePhotos(photos, torch.device(device)).warp(warps, height=height, width=width)
    assert torch.equal(host.valid, held.valid.cpu())
    for plane in ("picture", "distance"):
        one, other = (getattr(views, plane).cpu().float() for views in (host, held))
        shown = host.valid.expand_as(one)
        difference = (one - other).abs()[shown]
        assert difference.mean() < 1
        assert difference.quantile(0.99) <= 6  # OpenCV interpolates in steps of 1/32 of a pixel
