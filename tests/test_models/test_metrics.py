import pytest
import torch

from models.metrics import boundary_band, boundary_iou, count_overlap, pooled_miou, portrait_iou


def masks(*rows: list[list[int]]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.bool)


def test_portrait_iou_by_hand_and_per_photo() -> None:
    prediction = masks([[1, 1, 0, 0]], [[1, 1, 1, 1]])
    target = masks([[1, 0, 0, 1]], [[1, 1, 1, 1]])
    overlap = count_overlap(prediction, target, torch.ones_like(target))
    assert portrait_iou(overlap).tolist() == pytest.approx([1 / 3, 1.0])


def test_miou_pools_the_pixels_of_all_photos() -> None:
    # Pooled: TP 5, FP 1, FN 1, TN 1. Portrait 5/7, background 1/3.
    prediction = masks([[1, 1, 0, 0]], [[1, 1, 1, 1]])
    target = masks([[1, 0, 0, 1]], [[1, 1, 1, 1]])
    overlap = count_overlap(prediction, target, torch.ones_like(target))
    assert pooled_miou(overlap) == pytest.approx((5 / 7 + 1 / 3) / 2)


def test_padding_does_not_count() -> None:
    prediction, target = masks([[1, 1, 1, 1]]), masks([[1, 1, 0, 0]])
    overlap = count_overlap(prediction, target, masks([[1, 1, 0, 0]]))
    assert portrait_iou(overlap).item() == 1.0


def test_nobody_predicted_where_nobody_is_counts_as_right() -> None:
    nobody = torch.zeros(1, 4, 4, dtype=torch.bool)
    overlap = count_overlap(nobody, nobody, ~nobody)
    assert portrait_iou(overlap).item() == 1.0
    assert pooled_miou(overlap) == 1.0


def test_somebody_predicted_where_nobody_is_counts_as_wrong() -> None:
    nobody = torch.zeros(1, 4, 4, dtype=torch.bool)
    assert portrait_iou(count_overlap(~nobody, nobody, ~nobody)).item() == 0.0


def square(size: int, low: int, high: int) -> torch.Tensor:
    mask = torch.zeros(1, size, size, dtype=torch.bool)
    mask[0, low:high, low:high] = True
    return mask


def test_boundary_band_of_a_square_is_its_rim() -> None:
    # Diagonal of 100 x 100 is 141.4, 2 % of it 2.8, so the rim is 3 pixels wide.
    mask = square(100, 20, 60)
    rim = mask & ~square(100, 23, 57)
    assert torch.equal(boundary_band(mask, torch.ones_like(mask)), rim)


def test_frame_of_the_photo_counts_as_contour() -> None:
    mask = torch.ones(1, 100, 100, dtype=torch.bool)
    assert torch.equal(boundary_band(mask, mask), mask & ~square(100, 3, 97))


def test_boundary_iou_by_hand() -> None:
    # Rims 3 wide of squares of side 40 and 46 with the same centre: they touch but do not overlap.
    small, large = square(100, 30, 70), square(100, 27, 73)
    everywhere = torch.ones_like(small)
    assert boundary_iou(small, small, everywhere).item() == 1.0
    assert boundary_iou(small, large, everywhere).item() == 0.0
    # Shifted by one pixel along both axes. Rim: 40^2 - 34^2 = 444 pixels.
    shifted = square(100, 31, 71)
    shared = (boundary_band(small, everywhere) & boundary_band(shifted, everywhere)).sum().item()
    expected = shared / (2 * 444 - shared)
    assert boundary_iou(small, shifted, everywhere).item() == pytest.approx(expected)
    assert 0.3 < expected < 0.6


def test_boundary_iou_is_stricter_than_portrait_iou() -> None:
    small, large = square(100, 30, 70), square(100, 29, 71)
    everywhere = torch.ones_like(small)
    overlap = count_overlap(large, small, everywhere)
    assert boundary_iou(large, small, everywhere).item() < portrait_iou(overlap).item()
