"""A disc of one colour before another: its edge in the photo is sharper than the network's."""

from dataclasses import dataclass

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from pipelines import refinement
from pipelines.inference import soft_mask, split_mask, to_alpha
from pipelines.refinement import refined_mask
from pipelines.sizes import resize

Floats = NDArray[np.float32]
Pixels = NDArray[np.uint8]

SMALL = (96, 72)


@dataclass
class Scene:
    photo: Pixels
    true: Pixels
    alpha: Floats

    @property
    def plain(self) -> Pixels:
        height, width = self.true.shape
        return soft_mask(self.alpha, height=height, width=width)


def draw(height: int, width: int) -> Scene:
    """Return a disc, and the vague map of it that lies a little too far to the right."""
    rows, columns = np.mgrid[:height, :width]
    inside = ((rows / height - 0.5) / 0.35) ** 2 + ((columns / width - 0.5) / 0.35) ** 2 < 1
    true = inside.astype(np.uint8) * 255
    rng = np.random.default_rng(0)
    colours = np.where(inside[..., None], (190, 120, 90), (60, 110, 140))
    photo = (colours + rng.normal(0, 3, (height, width, 1))).clip(0, 255).astype(np.uint8)
    small = resize(true, height=SMALL[0], width=SMALL[1]).astype(np.float32) / 255
    vague = cv2.GaussianBlur(np.roll(small, 1, axis=1), (0, 0), 1.5)
    return Scene(photo, true, (vague * 1.04 - 0.02).clip(0, 1).astype(np.float32))


@pytest.fixture(params=[(384, 288), (1001, 750), (96, 72), (50, 40)], ids=str)
def scene(request: pytest.FixtureRequest) -> Scene:
    return draw(*request.param)


def test_soft_edges_follow_the_photo(scene: Scene) -> None:
    refined = refined_mask(scene.alpha, scene.photo)

    errors = [cv2.absdiff(mask, scene.true).mean() for mask in (scene.plain, refined)]
    assert refined.shape == scene.true.shape
    assert errors[1] < errors[0] / 2


def test_the_photo_as_the_network_saw_it_does_for_one_that_is_shrunk_again(scene: Scene) -> None:
    small = resize(scene.photo, height=SMALL[0], width=SMALL[1])

    masks = [refined_mask(scene.alpha, scene.photo, each) for each in (small, None)]

    errors = [cv2.absdiff(mask, scene.true).mean() for mask in masks]
    assert abs(errors[0] - errors[1]) < 0.1 * errors[1]


def test_a_photo_as_the_network_saw_it_of_another_size_is_no_guide(scene: Scene) -> None:
    other = np.zeros((SMALL[0] // 2, SMALL[1] // 2, 3), np.uint8)

    refined = refined_mask(scene.alpha, scene.photo, other)

    assert np.array_equal(refined, refined_mask(scene.alpha, scene.photo))


def test_what_the_network_is_sure_of_stays(scene: Scene) -> None:
    rng = np.random.default_rng(1)
    noise = rng.integers(0, 256, scene.photo.shape, np.uint8)

    refined = refined_mask(scene.alpha, noise)

    height, width = scene.true.shape
    enlarged = cv2.resize(scene.alpha, (width, height), interpolation=cv2.INTER_LINEAR)
    if height * width >= scene.alpha.size:  # else several pixels of the map share one
        assert (refined[enlarged == 1] == 255).all()
        assert (refined[enlarged == 0] == 0).all()


@pytest.mark.parametrize("value", [0, 1])
def test_a_map_without_doubts_stays_as_it_is(scene: Scene, value: int) -> None:
    refined = refined_mask(np.full(SMALL, value, np.float32), scene.photo)

    assert (refined == value * 255).all()


def test_where_the_photo_shows_no_edge_the_mask_stays_as_it_is(scene: Scene) -> None:
    flat = np.full_like(scene.photo, 99)

    refined = refined_mask(scene.alpha, flat).astype(int)

    # The mean over the windows makes the edge a little softer.
    assert np.abs(refined - scene.plain).max() < 100
    assert np.abs(refined - scene.plain).mean() < 5


def test_strips_and_chunks_leave_no_seam(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = refined_mask(scene.alpha, scene.photo)
    monkeypatch.setattr(refinement, "STRIP_PIXELS", 2000)
    monkeypatch.setattr(refinement, "CHUNK_PIXELS", 100)

    assert np.array_equal(refined_mask(scene.alpha, scene.photo), whole)


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (3, 2000)])
def test_slivers_are_refined(shape: tuple[int, int]) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    alpha = np.linspace(0, 1, 32 * 48, dtype=np.float32).reshape(32, 48)

    assert refined_mask(alpha, photo).shape == shape


def test_the_photo_is_not_changed(scene: Scene) -> None:
    photo, alpha = scene.photo.copy(), scene.alpha.copy()

    refined_mask(scene.alpha, scene.photo)

    assert np.array_equal(scene.photo, photo)
    assert np.array_equal(scene.alpha, alpha)


def test_a_soft_mask_is_split_at_the_probability_that_it_shows() -> None:
    probability = np.linspace(0, 1, 101, dtype=np.float32)[None]
    mask = soft_mask(to_alpha(probability), height=1, width=101)

    for threshold in (0.1, 0.5, 0.9):
        clear = np.abs(probability - threshold) > 0.005
        split = split_mask(mask, threshold=threshold)
        assert np.array_equal((split == 255)[clear], (probability > threshold)[clear])
    assert not split_mask(mask, threshold=0.001)[probability < 0.02].any()
    assert split_mask(mask, threshold=0.999)[probability > 0.985].all()
