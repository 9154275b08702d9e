import numpy as np
import pytest
from ramps import misplaced_by, ramps

from pipelines.affine import apply, compose, fit, invert, resizing, shift
from pipelines.frames import FITS, Fit, fit_frame, frame_map
from pipelines.sizes import resize

POINTS = np.random.default_rng(0).uniform(0, 100, (49, 2))
TOLERANCE = 0.1
"""Pixels of the ramps; a confusion of centres and corners misplaces by 0.2 or more below."""

KNOWN = np.array([[0.8, -0.3, 12.0], [0.25, 1.1, -7.0]])


def test_fit_recovers_a_known_map() -> None:
    assert np.allclose(fit(POINTS, apply(KNOWN, POINTS)), KNOWN)


def test_fit_has_the_least_squared_error() -> None:
    noisy = apply(KNOWN, POINTS) + np.random.default_rng(1).normal(0, 2, POINTS.shape)
    found = fit(POINTS, noisy)
    residual = noisy - apply(found, POINTS)
    assert np.allclose(residual.sum(axis=0), 0)
    assert np.allclose(residual.T @ POINTS, 0)


def test_inverse_undoes_and_composition_is_one_after_the_other() -> None:
    assert np.allclose(apply(invert(KNOWN), apply(KNOWN, POINTS)), POINTS)
    both = compose(shift(3, 4), KNOWN)
    assert np.allclose(apply(both, POINTS), apply(shift(3, 4), apply(KNOWN, POINTS)))


@pytest.mark.parametrize("size", [(20, 20), (25, 17), (100, 75), (20, 45)])
def test_resized_picture_shows_what_the_map_says(size: tuple[int, int]) -> None:
    resized = resize(ramps(60, 45), height=size[0], width=size[1])
    assert misplaced_by(resized, resizing(size, (60, 45)), (60, 45)).max() < TOLERANCE


@pytest.mark.parametrize("fit_name", FITS)
@pytest.mark.parametrize("shape", [(85, 52), (46, 77)])
def test_frame_shows_what_its_map_says(fit_name: Fit, shape: tuple[int, int]) -> None:
    photo = ramps(*shape)
    frame, *_ = fit_frame(photo, photo[..., 0], size=20, fit=fit_name)
    to_frame = frame_map(height=shape[0], width=shape[1], size=20, fit=fit_name)
    assert misplaced_by(frame, invert(to_frame), shape).max() < TOLERANCE
