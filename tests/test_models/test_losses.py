"""Every expected number here was worked out by hand from the paper's equations."""

import math

import pytest
import torch

from models import Prediction
from models.losses import (
    BANetLoss,
    GradientCalculation,
    RefineLoss,
    binary_cross_entropy,
    luma,
    masked_mean,
    min_max_normalize,
)


def plane(rows: list[list[float]]) -> torch.Tensor:
    return torch.tensor(rows)[None, None]


# Columns 0, 0, 1, 1: a vertical step. In the two middle columns the Sobel sum is
# (1 + 2 + 1) * (right - left) = 4; replication makes the outer columns flat.
VERTICAL_STEP = plane([[0.0, 0.0, 1.0, 1.0]] * 4)


def test_cross_entropy_by_hand() -> None:
    # sigmoid(ln 3) = 3/4, sigmoid(0) = 1/2: losses -ln(3/4) for target 1, -ln(1/2) for target 0.
    logits = plane([[math.log(3), 0.0]])
    target = plane([[1.0, 0.0]])
    expected = (-math.log(0.75) - math.log(0.5)) / 2
    loss = binary_cross_entropy(logits, target, torch.ones_like(target))
    assert loss.item() == pytest.approx(expected, rel=1e-6)


def test_cross_entropy_ignores_padding() -> None:
    logits, target = plane([[math.log(3), -50.0]]), plane([[1.0, 1.0]])
    loss = binary_cross_entropy(logits, target, plane([[1.0, 0.0]]))
    assert loss.item() == pytest.approx(-math.log(0.75), rel=1e-6)


def test_min_max_normalisation_by_hand() -> None:
    images = torch.cat((plane([[2.0, 4.0, 6.0]]), plane([[-1.0, 0.0, 3.0]])))
    expected = torch.cat((plane([[0.0, 0.5, 1.0]]), plane([[0.0, 0.25, 1.0]])))
    torch.testing.assert_close(min_max_normalize(images), expected)


def test_luma_of_pure_colours() -> None:
    colours = torch.eye(3).view(3, 3, 1, 1)
    torch.testing.assert_close(luma(colours).flatten(), torch.tensor([0.299, 0.587, 0.114]))


def test_gradient_of_a_vertical_step_by_hand() -> None:
    gradient = GradientCalculation()(VERTICAL_STEP)
    magnitude = plane([[0.0, 4.0, 4.0, 0.0]] * 4)
    torch.testing.assert_close(gradient.magnitude, magnitude, rtol=0, atol=1e-5)
    # Convolution with G_x of Eq. 9 is positive where the image rises to the right.
    torch.testing.assert_close(
        gradient.direction[0, 0, :, 1:3], torch.ones(4, 2), rtol=0, atol=1e-5
    )
    assert gradient.direction[0, 1].abs().max() < 1e-5


def test_gradient_of_a_horizontal_step_points_along_y() -> None:
    gradient = GradientCalculation()(VERTICAL_STEP.transpose(2, 3))
    assert gradient.direction[0, 0].abs().max() < 1e-5
    assert gradient.direction[0, 1, 1:3].abs().min() > 0.999


def test_gradient_of_a_diagonal_ramp_by_hand() -> None:
    # I = (x + y) / 4 on 3 x 3: inside, both Sobel sums are 8 * 1/4 = 2, the magnitude 2 sqrt 2.
    ramp = plane([[0.0, 1.0, 2.0], [1.0, 2.0, 3.0], [2.0, 3.0, 4.0]])
    gradient = GradientCalculation()(ramp)
    assert gradient.magnitude[0, 0, 1, 1].item() == pytest.approx(2 * math.sqrt(2), rel=1e-5)
    direction = gradient.direction[0, :, 1, 1].tolist()
    assert direction == pytest.approx([1 / math.sqrt(2)] * 2, rel=1e-5)


def grey_photo(image: torch.Tensor) -> torch.Tensor:
    return image.expand(-1, 3, -1, -1)


def test_refine_loss_of_a_perfect_edge_is_the_missing_magnitude_only() -> None:
    # Same edge in photo and prediction: Eq. 5 is zero. Eq. 6: 1.5 * 4 - 4 = 2 in the two middle
    # columns. Eq. 7 over these eight pixels: 0.5 * 2 = 1.
    boundary = plane([[0.0, 1.0, 1.0, 0.0]] * 4)
    loss = RefineLoss()(VERTICAL_STEP, grey_photo(VERTICAL_STEP), boundary)
    assert loss.item() == pytest.approx(1.0, abs=1e-4)


def test_refine_loss_of_a_perpendicular_edge_by_hand() -> None:
    # Photo: vertical step, prediction: horizontal step, over all 16 pixels. The photo's magnitude
    # is 4 in the middle columns, the prediction's in the middle rows.
    # Eq. 5: cosine 0 everywhere, so 1 * m_pred: 4 on 8 pixels, sum 32.
    # Eq. 6: 1.5 * 4 - 4 = 2 on the 4 pixels of both, 6 on the 4 of the photo only, sum 32.
    # Eq. 7: (0.5 * 32 + 0.5 * 32) / 16 = 2.
    prediction = VERTICAL_STEP.transpose(2, 3)
    loss = RefineLoss()(prediction, grey_photo(VERTICAL_STEP), torch.ones(1, 1, 4, 4))
    assert loss.item() == pytest.approx(2.0, abs=1e-3)


def test_refine_loss_ignores_the_sense_of_the_gradient() -> None:
    photo, boundary = grey_photo(VERTICAL_STEP), torch.ones(1, 1, 4, 4)
    towards, away = (RefineLoss()(p, photo, boundary) for p in (VERTICAL_STEP, 1 - VERTICAL_STEP))
    assert towards.item() == pytest.approx(away.item(), abs=1e-5)


def test_total_is_the_weighted_sum_of_equation_8() -> None:
    torch.manual_seed(0)
    prediction = Prediction(torch.randn(2, 1, 8, 8), torch.randn(2, 1, 8, 8))
    image, mask = torch.rand(2, 3, 8, 8), (torch.rand(2, 1, 8, 8) > 0.5).float()
    boundary, valid = (torch.rand(2, 1, 8, 8) > 0.5).float(), torch.ones(2, 1, 8, 8)
    terms = BANetLoss()(prediction, image, mask, boundary, valid)
    expected = 0.6 * terms.segmentation + 0.3 * terms.boundary + 0.1 * terms.refine
    assert terms.total.item() == pytest.approx(expected.item(), rel=1e-6)
    assert terms.refine.item() > 0


def test_network_without_attention_has_no_boundary_loss() -> None:
    ones = torch.ones(1, 1, 4, 4)
    terms = BANetLoss()(Prediction(ones, None), ones.expand(-1, 3, -1, -1), ones, ones, ones)
    assert terms.boundary.item() == 0


def test_refine_loss_is_left_out_at_weight_zero() -> None:
    ones = torch.ones(1, 1, 4, 4)
    prediction = Prediction(VERTICAL_STEP, VERTICAL_STEP)
    photo = grey_photo(VERTICAL_STEP)
    assert BANetLoss(refine_weight=0)(prediction, photo, ones, ones, ones).refine.item() == 0


def test_mean_over_an_empty_mask_is_zero_with_zero_gradient() -> None:
    values = torch.rand(1, 1, 4, 4, requires_grad=True)
    mean = masked_mean(values, torch.zeros(1, 1, 4, 4))
    mean.backward()
    assert mean.item() == 0
    assert values.grad is not None
    assert not values.grad.any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("photo_value", [None, 0.0, 1.0], ids=["textured", "black", "white"])
@pytest.mark.parametrize("logit", [None, 0.0, 200.0, -200.0], ids=str)
@pytest.mark.parametrize("boundary_value", [0.0, 1.0], ids=["no-boundary", "all-boundary"])
def test_loss_and_gradients_stay_finite(
    dtype: torch.dtype, photo_value: float | None, logit: float | None, boundary_value: float
) -> None:
    torch.manual_seed(0)
    photo = torch.rand(2, 3, 8, 8) if photo_value is None else torch.full((2, 3, 8, 8), photo_value)
    logits = torch.randn(2, 1, 8, 8) * 50 if logit is None else torch.full((2, 1, 8, 8), logit)
    portrait = logits.to(dtype).requires_grad_()
    attention = logits.to(dtype).requires_grad_()
    boundary = torch.full((2, 1, 8, 8), boundary_value)
    terms = BANetLoss()(
        Prediction(portrait, attention), photo.to(dtype), boundary, boundary, torch.ones(2, 1, 8, 8)
    )
    terms.total.backward()
    assert all(term.isfinite() for term in terms)
    for tensor in (portrait, attention):
        assert tensor.grad is not None
        assert tensor.grad.isfinite().all()
