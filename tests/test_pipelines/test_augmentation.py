from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from ramps import misplaced_by, ramps
from views import draw_view

from pipelines.augmentation.degradation import blurred, compressed
from pipelines.augmentation.photos import person_box
from pipelines.augmentation.render import MEAN_EVERY
from pipelines.augmentation.settings import Augmentation
from pipelines.boundary import boundary_target

Person = Callable[..., tuple[np.ndarray, np.ndarray]]

EXAMPLES = Path(__file__).parents[2] / "examples" / "photos"

CALM = {"rotation": 0, "lightness": (1, 1), "flip": 0}


def textured(seed: int, *, height: int = 200, width: int = 150) -> np.ndarray:
    """A ground without anybody, dark blue."""
    rng = np.random.default_rng(seed)
    return np.dstack([rng.integers(0, top, (height, width)) for top in (30, 30, 120)]).astype("u1")


def test_without_randomness_the_view_is_the_photo(person: Person) -> None:
    photo, mask = person(1)
    view = draw_view(photo, mask)
    assert np.array_equal(view.image, photo)
    assert np.array_equal(view.mask, mask)
    assert view.valid.all()


def test_same_seed_gives_the_same_view(person: Person) -> None:
    wild = Augmentation(
        view=1.0, grey=0.5, colour=1, compression=1, blur=1, noise=1, background=0.5
    )
    views = [draw_view(*person(1), wild, seed=7) for _ in range(2)]
    assert np.array_equal(views[0].image, views[1].image)
    assert not np.array_equal(views[0].image, draw_view(*person(1), wild, seed=8).image)


def test_flip_mirrors_photo_and_mask_alike(person: Person) -> None:
    photo, mask = person(1)
    view = draw_view(photo, mask, Augmentation(**{**CALM, "flip": 1}))
    assert np.array_equal(view.image, photo[:, ::-1])
    assert np.array_equal(view.mask, mask[:, ::-1])


def test_lightness_scales_the_photo_and_not_the_mask(person: Person) -> None:
    photo, mask = person(1)
    view = draw_view(photo, mask, Augmentation(**{**CALM, "lightness": (0.5, 0.5)}))
    assert np.abs(view.image - photo / 2).max() <= 1
    assert np.array_equal(view.mask, mask)


def test_grey_photo_has_equal_channels_and_its_luma(person: Person) -> None:
    photo, mask = person(1)
    view = draw_view(photo, mask, Augmentation(**CALM, grey=1.0))
    assert np.ptp(view.image, axis=2).max() == 0
    assert np.abs(view.image[..., 0] - photo @ [0.299, 0.587, 0.114]).max() <= 1


@pytest.mark.parametrize("seed", range(4))
def test_colour_changes_hues_but_not_what_is_where(person: Person, seed: int) -> None:
    photo, mask = person(1)
    view = draw_view(photo, mask, Augmentation(**CALM, colour=1.0), seed=seed)
    assert np.abs(view.image.astype(int) - photo).mean() > 3
    assert np.corrcoef(view.image.ravel(), photo.ravel())[0, 1] > 0.9


@pytest.mark.parametrize("seed", range(20))
def test_mask_moves_with_the_photo(person: Person, seed: int) -> None:
    """The figure is bright on a dark ground, so the mask can be checked against the picture."""
    framing = Augmentation(lightness=(1, 1), view=1.0)
    view = draw_view(*person(seed), framing, seed=seed)
    bright = view.image[..., 0] > 135
    assert (bright == (view.mask > 127))[view.valid].mean() > 0.95


@pytest.mark.parametrize("scale", [0.2, 0.5, 1.0, 1.7])
@pytest.mark.parametrize("seed", range(6))
def test_boundary_is_that_of_the_view_by_equation_1(
    person: Person, seed: int, scale: float
) -> None:
    """Beside the target that Canny and a dilation make of the view's own mask."""
    photo, mask = person(seed, height=360, width=270)
    size = {"height": round(360 * scale), "width": round(270 * scale)}
    framing = Augmentation(view=1.0, view_heights=(1.0, 1.6), rotation=20)
    view = draw_view(photo, mask, framing, seed=seed, **size)
    assert not view.boundary[~view.valid].any()
    share = (view.mask > 127)[view.valid].mean()
    width = 50 * size["height"] / 512 * share / max((view.mask > 127).mean(), 1e-6)
    expected = boundary_target(view.mask, canonical_width=width)[0] > 0
    near = cv2.dilate(expected.astype(np.uint8), np.ones((5, 5))) > 0
    inside = cv2.erode(expected.astype(np.uint8), np.ones((5, 5))) > 0
    assert not view.boundary[~near].any()
    assert (view.boundary | ~view.valid)[inside].sum() >= 0.9 * inside.sum()


def test_view_height_decides_how_close_the_person_is(person: Person) -> None:
    def mean_share(heights: float) -> float:
        framing = Augmentation(rotation=0, view=1.0, view_heights=(heights, heights))
        people = [person(seed, height=240, width=180) for seed in range(30)]
        views = [draw_view(*each, framing, seed=seed) for seed, each in enumerate(people)]
        return float(np.mean([(view.mask > 127)[view.valid].mean() for view in views]))

    close, half, whole = (mean_share(heights) for heights in (0.4, 0.8, 1.6))
    assert close > half > whole
    assert close > 1.5 * whole


def test_view_beyond_the_frame_is_not_valid(person: Person) -> None:
    turned = draw_view(*person(1), Augmentation(rotation=45), seed=3)
    assert 0.3 < turned.valid.mean() < 1
    assert not turned.boundary[~turned.valid].any()


def test_photo_without_a_person_can_be_viewed() -> None:
    photo = np.full((120, 90, 3), 60, np.uint8)
    everything = Augmentation(view=1.0, background=1.0)
    view = draw_view(photo, np.zeros((120, 90), np.uint8), everything)
    assert not view.mask.any()
    assert not view.boundary.any()
    assert person_box(view.mask) == (0, 0, 90, 120)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("height", [70, 16])  # the second is made from a deeper level
def test_view_shows_the_pixels_that_its_map_names(seed: int, height: int) -> None:
    framing = Augmentation(lightness=(1, 1), view=1.0, view_heights=(0.5, 1.0))
    full = np.full((79, 57), 255, np.uint8)
    view = draw_view(ramps(79, 57), full, framing, seed=seed, height=height, width=height)
    assert misplaced_by(view.image, view.framing.to_photo, (79, 57)).max() < 0.25


@pytest.mark.parametrize("seed", range(12))
def test_another_background_leaves_the_person_and_nothing_else(person: Person, seed: int) -> None:
    photo, mask = person(seed, height=240, width=180)
    settings = Augmentation(**CALM, background=1.0)
    grounds = (textured(1), textured(2))
    view = draw_view(photo, mask, settings, seed=seed, height=240, width=180, grounds=grounds)
    inside = cv2.erode(mask, np.ones((9, 9)), borderValue=255) > 0
    assert np.array_equal(view.mask, mask)
    assert np.abs(view.image[inside].astype(int) - photo[inside]).max() <= 1
    outside = mask == 0
    old, new = (picture[outside].astype(float).ravel() for picture in (photo, view.image))
    assert abs(np.corrcoef(old, new)[0, 1]) < 0.2


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0, 3.0])
def test_cut_out_edge_has_no_colour_of_the_old_background(scale: float) -> None:
    """A red disc on green, its mask a pixel too large, before other grounds: no green is left."""
    rows, columns = np.mgrid[:160, :120]
    radius = np.hypot(rows - 80, columns - 60)
    photo = np.where((radius < 40)[..., None], (200, 30, 30), (0, 255, 0)).astype(np.uint8)
    photo = cv2.GaussianBlur(photo, (0, 0), 0.7)
    mask = np.where(radius < 41, 255, 0).astype(np.uint8)
    ground = np.full((160, 120, 3), 40, np.uint8)
    settings = Augmentation(**CALM, background=1.0)
    size = {"height": round(160 * scale), "width": round(120 * scale)}
    views = [
        draw_view(photo, mask, settings, seed=seed, grounds=(ground,), **size) for seed in range(12)
    ]
    plain = [view for view in views if np.ptp(view.image[:10], axis=(0, 1)).max() == 0]
    assert plain  # the others stand before made textures
    for view in plain:
        assert (view.image[..., 1].astype(int) - view.image[..., 2]).max() < 25


def test_no_boundary_is_where_nobody_is(person: Person) -> None:
    """Beyond the frame, where the photo is mirrored but another background goes on."""
    photo, mask = person(1, height=240, width=180)
    mask[-20:] = 0  # so that no side cuts the figure off
    far = Augmentation(rotation=20, view=1.0, view_heights=(1.5, 3.0), background=1.0)
    for seed in range(10):
        view = draw_view(photo, mask, far, seed=seed, grounds=(textured(1),))
        edge = cv2.morphologyEx(view.mask, cv2.MORPH_GRADIENT, np.ones((3, 3))) > 127
        away = cv2.distanceTransform((~edge).astype(np.uint8), cv2.DIST_L2, 5)
        assert view.boundary.any()
        assert away[view.boundary].max() < 50 * 120 / 512 / 2 + 2


def test_beyond_the_frame_another_background_goes_on_where_the_person_is_whole() -> None:
    """The person is cut off at the bottom: the view ends there, and reaches beyond elsewhere."""
    photo = np.full((120, 90, 3), 30, np.uint8)
    mask = np.zeros((120, 90), np.uint8)
    mask[40:, 30:60] = 255
    far = Augmentation(**CALM, view=1.0, view_heights=(2.5, 3.0), background=1.0)
    for seed in range(10):
        view = draw_view(photo, mask, far, seed=seed, grounds=(textured(1),))
        assert view.valid.all()
        assert view.mask[-1].max() == 255  # the bottom of the photo is that of the view
        assert view.mask[0].max() == 0
        assert (view.mask > 127).mean() < 0.3


def test_compression_leaves_what_libjpeg_leaves() -> None:
    rng = np.random.default_rng(0)
    smooth = cv2.GaussianBlur(rng.integers(0, 256, (96, 80, 3), dtype=np.uint8), (0, 0), 2)
    photo = cv2.normalize(smooth, None, 0, 255, cv2.NORM_MINMAX)
    for quality in (20, 50, 85):
        buffer = BytesIO()
        Image.fromarray(photo).save(buffer, "jpeg", quality=quality, subsampling="4:2:0")
        theirs = np.asarray(Image.open(buffer)).astype(float)
        tensor = torch.from_numpy(photo.copy()).permute(2, 0, 1).float() / 255
        ours = 255 * compressed(tensor, quality).permute(1, 2, 0).numpy()
        assert np.abs(theirs - photo).mean() > 3 * np.abs(ours - theirs).mean()


def test_compression_keeps_sizes_that_are_no_multiple_of_a_block() -> None:
    assert compressed(torch.full((3, 37, 21), 0.5), 30).shape == (3, 37, 21)


def test_blur_is_that_of_opencv() -> None:
    picture = np.random.default_rng(0).random((40, 30, 3)).astype(np.float32)
    ours = blurred(torch.from_numpy(picture).permute(2, 0, 1), 1.5).permute(1, 2, 0).numpy()
    theirs = cv2.GaussianBlur(picture, (11, 11), 1.5, borderType=cv2.BORDER_REPLICATE)
    assert ours == pytest.approx(theirs, abs=1e-4)


def test_noise_has_the_strength_that_was_asked_for() -> None:
    photo = np.full((120, 90, 3), 128, np.uint8)
    noisy = Augmentation(**CALM, noise=1.0, noise_level=(0.05, 0.05))
    view = draw_view(photo, np.zeros((120, 90), np.uint8), noisy)
    assert view.image.std() == pytest.approx(0.05 * 255, rel=0.05)


def test_mean_of_some_rows_stands_for_that_of_all() -> None:
    for path in EXAMPLES.rglob("*.*"):
        photo = np.asarray(Image.open(path).convert("RGB").resize((240, 320)), np.float64)
        some, every = (rows.mean(axis=(0, 1)) for rows in (photo[::MEAN_EVERY], photo))
        assert np.abs(some - every).max() < 1
