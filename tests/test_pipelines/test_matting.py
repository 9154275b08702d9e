import numpy as np
import pytest

from pipelines.matting import absolute_error, connectivity_error, gradient_error


def disc(radius: float, *, centre: tuple[int, int] = (50, 50)) -> np.ndarray:
    rows, columns = np.mgrid[:100, :100]
    return ((rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 < radius**2).astype(np.float32)


@pytest.mark.parametrize("error", [absolute_error, gradient_error, connectivity_error])
def test_right_mask_has_no_error(error) -> None:
    assert error(disc(30), disc(30)) == 0


def test_absolute_error_by_hand() -> None:
    predicted, true = np.full((50, 40), 0.75), np.full((50, 40), 0.25)
    assert absolute_error(predicted, true) == pytest.approx(0.5 * 2000 / 1000)


def test_gradient_error_of_a_missed_step_by_hand() -> None:
    # The gradient across a unit step is a Gaussian of 1.4 pixels; the integral of its square is
    # 1 / (2 * 1.4 * sqrt(pi)) for each of the 100 rows.
    step = np.repeat([[0.0, 1.0]], 50, axis=1) * np.ones((100, 1))
    expected = 100 / (2 * 1.4 * np.sqrt(np.pi)) / 1000
    assert gradient_error(np.full((100, 100), 0.7), step) == pytest.approx(expected, rel=0.03)


def test_connectivity_error_counts_what_floats_free() -> None:
    true = disc(20, centre=(30, 30))
    island = disc(8, centre=(80, 80))
    assert connectivity_error(true + island, true) == pytest.approx(island.sum() / 1000)
    faint = true + 0.1 * island  # within the tolerance
    assert connectivity_error(faint, true) == 0
