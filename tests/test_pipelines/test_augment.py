from collections.abc import Callable

import cv2
import numpy as np
import pytest
from ramps import misplaced_by, ramps

from pipelines.augment import Augmentation, TrainingView, augment, person_box

Person = Callable[..., tuple[np.ndarray, np.ndarray]]

STILL = Augmentation(rotation=0, lightness=(1, 1), flip=0)


def draw(
    photo: np.ndarray, mask: np.ndarray, augmentation: Augmentation, *, seed: int = 0
) -> TrainingView:
    return augment(
        photo,
        mask,
        height=120,
        width=90,
        augmentation=augmentation,
        canonical_width=50,
        rng=np.random.default_rng(seed),
    )


def test_without_randomness_the_view_is_the_photo(person: Person) -> None:
    photo, mask = person(1)
    view = draw(photo, mask, STILL)
    assert np.array_equal(view.image, photo)
    assert np.array_equal(view.mask, mask)
    assert view.valid.all()


def test_same_generator_gives_the_same_view(person: Person) -> None:
    wild = Augmentation(view=1.0, grey=0.5)
    views = [draw(*person(1), wild, seed=7) for _ in range(2)]
    assert np.array_equal(views[0].image, views[1].image)
    assert not np.array_equal(views[0].image, draw(*person(1), wild, seed=8).image)


def test_flip_mirrors_photo_and_mask_alike(person: Person) -> None:
    photo, mask = person(1)
    view = draw(photo, mask, Augmentation(rotation=0, lightness=(1, 1), flip=1))
    # The centre of a view lies between two pixels, so that a mirror image is shifted by none.
    assert np.abs(view.image[:, 1:].astype(int) - photo[:, :0:-1]).mean() < 3
    assert np.mean(view.mask[:, 1:] != mask[:, :0:-1]) < 0.02


def test_lightness_scales_the_photo_and_not_the_mask(person: Person) -> None:
    photo, mask = person(1)
    view = draw(photo, mask, Augmentation(rotation=0, lightness=(0.5, 0.5), flip=0))
    assert view.image.mean() == pytest.approx(photo.mean() / 2, abs=1)
    assert np.array_equal(view.mask, mask)


def test_grey_photo_has_equal_channels(person: Person) -> None:
    view = draw(*person(1), Augmentation(grey=1.0))
    assert np.array_equal(view.image[..., 0], view.image[..., 2])


@pytest.mark.parametrize("seed", range(20))
def test_mask_moves_with_the_photo(person: Person, seed: int) -> None:
    """The figure is bright on a dark ground, so the mask can be checked against the picture."""
    view = draw(*person(seed), Augmentation(lightness=(1, 1), view=1.0), seed=seed)
    bright = view.image[..., 0] > 135
    inside = view.valid > 0
    agreement = (bright == (view.mask > 127))[inside].mean()
    assert agreement > 0.95


@pytest.mark.parametrize("seed", range(10))
def test_boundary_is_that_of_the_view_by_equation_1(person: Person, seed: int) -> None:
    view = draw(*person(seed), Augmentation(view=1.0), seed=seed)
    inside = view.valid > 0
    width = (view.mask > 127)[inside].mean() * 50 * 120 / 512
    edges = cv2.Canny((view.mask > 127).astype(np.uint8) * 255, 100, 200) > 0
    distance = cv2.distanceTransform((~edges).astype(np.uint8), cv2.DIST_L2, 5)
    assert not view.boundary[~inside].any()
    assert not view.boundary[distance > width / 2 + 1.5].any()
    assert view.boundary[inside & (distance < width / 2 - 1.5)].all()


def test_view_height_decides_how_close_the_person_is(person: Person) -> None:
    def mean_share(heights: float) -> float:
        framing = Augmentation(rotation=0, view=1.0, view_heights=(heights, heights))
        people = [person(seed, height=240, width=180) for seed in range(30)]
        views = [draw(*each, framing, seed=seed) for seed, each in enumerate(people)]
        return float(np.mean([(view.mask > 127)[view.valid > 0].mean() for view in views]))

    close, half, whole = (mean_share(heights) for heights in (0.4, 0.8, 1.6))
    assert close > half > whole
    assert close > 1.5 * whole


def test_view_beyond_the_frame_is_not_valid(person: Person) -> None:
    turned = draw(*person(1), Augmentation(rotation=45), seed=3)
    assert 0.3 < turned.valid.mean() < 1
    assert not turned.boundary[turned.valid == 0].any()


def test_photo_without_a_person_can_be_viewed() -> None:
    photo = np.full((120, 90, 3), 60, np.uint8)
    view = draw(photo, np.zeros((120, 90), np.uint8), Augmentation(view=1.0))
    assert not view.mask.any()
    assert person_box(view.mask) == (0, 0, 90, 120)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("height", [70, 16])  # the second is shrunk before the warp
def test_view_shows_the_pixels_that_its_map_names(seed: int, height: int) -> None:
    view = augment(
        ramps(79, 57),
        np.full((79, 57), 255, np.uint8),
        height=height,
        width=height,
        augmentation=Augmentation(lightness=(1, 1), view=1.0, view_heights=(0.5, 1.0)),
        canonical_width=50,
        rng=np.random.default_rng(seed),
    )
    assert misplaced_by(view.image, view.to_photo, (79, 57)).max() < 0.25
