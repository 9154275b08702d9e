from dataclasses import replace

import numpy as np
import pytest
from faces import symmetric_face
from views import draw_view

from pipelines.affine import apply, compose, fit, invert, shift
from pipelines.augmentation.framing import Framing
from pipelines.augmentation.settings import Augmentation
from pipelines.face_prior import FARTHEST, Face, ReferenceFrame, face_prior
from pipelines.landmarks import MIRRORED, ReferenceFace

STILL = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
REFERENCE = ReferenceFace(
    landmarks=symmetric_face(50, 40),
    mean_mask=np.random.default_rng(0).integers(0, 256, (90, 100), dtype=np.uint8),
)
TILTED = replace(
    REFERENCE,
    landmarks=apply(np.array([[0.9, -0.4, 25.0], [0.3, 1.1, -8.0]]), symmetric_face(40, 30)),
)
"""Turned and skewed, as a head that does not face the camera."""


def view_of(photo: np.ndarray, *, seed: int, flip: float) -> Framing:
    framing = Augmentation(flip=flip, view=1.0, view_heights=(0.5, 1.2))
    full = np.full(photo.shape[:2], 255, np.uint8)
    return draw_view(photo, full, framing, seed=seed, height=60, width=45).framing


def test_channels_by_hand() -> None:
    """The picture is the reference frame from (2, 1) on, at half its size."""
    mean_mask = np.zeros((8, 10), np.uint8)
    mean_mask[3, 4] = 51
    frame = ReferenceFrame(mean_mask=mean_mask, centre=(4.0, 3.0), size=4.0, mirror=STILL)
    alignment = np.array([[2.0, 0.0, 2.0], [0.0, 2.0, 1.0]])
    prior = face_prior(Face(alignment=alignment, frame=frame), height=2, width=3)
    assert prior.dtype == np.float32
    assert prior[..., 0].tolist() == [[-0.5, 0.0, 0.5]] * 2
    assert prior[..., 1].tolist() == [[-0.5] * 3, [0.0] * 3]
    expected = np.array([[0, 0, 0], [0, 0.2, 0]], np.float32)
    assert prior[..., 2] == pytest.approx(expected)


def test_picture_without_a_known_face_has_zeros() -> None:
    assert not face_prior(None, height=5, width=7).any()
    assert face_prior(None, height=5, width=7).shape == (5, 7, 3)


def test_far_pixels_stay_bounded_and_outside_the_mean_mask() -> None:
    far = Face(alignment=compose(shift(1e4, -1e4), STILL), frame=REFERENCE.frame)
    prior = face_prior(far, height=4, width=4)
    assert np.array_equal(np.unique(prior[..., 0]), [FARTHEST])
    assert np.array_equal(np.unique(prior[..., 1]), [-FARTHEST])
    assert not prior[..., 2].any()


def test_centre_and_size_are_those_of_the_landmarks() -> None:
    frame = REFERENCE.frame
    assert frame.centre == pytest.approx((50, 40))
    assert frame.size == pytest.approx(np.ptp(REFERENCE.landmarks, axis=0).max())


@pytest.mark.parametrize("reference", [REFERENCE, TILTED], ids=["upright", "tilted"])
@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_channels_of_a_view_are_those_that_its_landmarks_give(
    reference: ReferenceFace, seed: int, flip: float
) -> None:
    """Turned, resized and mirrored; a mirror image turns right landmarks into left ones."""
    landmarks = apply(np.array([[0.7, 0.1, 60.0], [-0.2, 0.9, 80.0]]), symmetric_face(40, 50))
    landmarks += np.random.default_rng(seed).normal(0, 0.5, landmarks.shape)
    view = view_of(np.zeros((250, 187, 3), np.uint8), seed=seed, flip=flip)
    seen = apply(invert(view.to_photo), landmarks)
    if flip:
        seen = seen[MIRRORED]
    found = Face(alignment=fit(seen, reference.landmarks), frame=reference.frame)
    of_photo = replace(found, alignment=fit(landmarks, reference.landmarks))
    expected = face_prior(found, height=60, width=45)
    prior = face_prior(of_photo.in_view(view.to_photo), height=60, width=45)
    assert prior == pytest.approx(expected, abs=1e-5)
    assert prior[..., 2].any()
