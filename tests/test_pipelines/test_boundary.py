import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.boundary import boundary_target, dilation_kernel_size


def square_mask(size: int, low: int, high: int) -> np.ndarray:
    mask = np.zeros((size, size), np.uint8)
    mask[low:high, low:high] = 255
    return mask


@pytest.mark.parametrize(
    ("share", "expected"), [(0.0, 1), (0.01, 1), (0.25, 12), (0.5, 25), (1.0, 50)]
)
def test_kernel_size_follows_equation_1(share: float, expected: int) -> None:
    mask = np.arange(400).reshape(20, 20) < share * 400
    assert dilation_kernel_size(mask, canonical_width=50) == expected


def test_target_is_a_band_of_the_kernel_size_around_the_contour() -> None:
    target, kernel_size = boundary_target(square_mask(200, 50, 150), canonical_width=50)
    assert kernel_size == 12  # a quarter of the photo times 50
    row = target[100]
    left = np.flatnonzero(row[:100])
    assert len(left) == pytest.approx(kernel_size, abs=1)
    assert left[0] < 50 <= left[-1]
    assert not target[100, 100]


def test_person_cut_off_by_the_frame_has_no_boundary_there() -> None:
    mask = np.zeros((100, 100), np.uint8)
    mask[40:, 30:70] = 255
    target, _ = boundary_target(mask, canonical_width=20)
    assert target[40, 50]
    assert not target[99, 50]


@pytest.mark.parametrize("value", [0, 255])
def test_flat_mask_has_no_boundary(value: int) -> None:
    target, _ = boundary_target(np.full((50, 50), value, np.uint8), canonical_width=50)
    assert not target.any()


@given(low=st.integers(5, 40), side=st.integers(5, 50), width=st.floats(1, 100))
def test_target_turns_with_the_mask(low: int, side: int, width: float) -> None:
    mask = np.zeros((100, 100), np.uint8)
    mask[low : low + side, 10:60] = 255
    target, _ = boundary_target(mask, canonical_width=width)
    mirrored, _ = boundary_target(mask[:, ::-1].copy(), canonical_width=width)
    assert set(np.unique(target)) <= {0, 1}
    # Edges lie on one side of a contour, and an even kernel has no middle: a pixel of play.
    assert (mirrored[:, ::-1] == target).mean() > 0.95
