"""The losses of BANet (Eq. 3-12).

Pure functions do the work; all of it in float32, whatever precision the network ran in, because
a squared gradient of a half-precision map under- or overflows.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.prediction import Prediction

LUMA_WEIGHTS = (0.299, 0.587, 0.114)
"""Weights of R, G and B in luma (ITU-R BT.601)."""

EPSILON = 1e-6
"""Keeps square roots and quotients differentiable where a gradient or a range is zero."""


class LossTerms(NamedTuple):
    """The terms of Eq. 8, each a scalar, and their weighted sum."""

    total: Tensor
    segmentation: Tensor
    boundary: Tensor
    refine: Tensor


class Gradient(NamedTuple):
    """Image gradient: `magnitude` (B, 1, H, W) and unit `direction` (B, 2, H, W), x then y."""

    magnitude: Tensor
    direction: Tensor


def luma(image: Tensor) -> Tensor:
    """Return the luma (B, 1, H, W) of RGB images (B, 3, H, W) in [0, 1].

    Paper is silent: which channel Eq. 9 differentiates.
    """
    return (image * image.new_tensor(LUMA_WEIGHTS).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)


def min_max_normalize(image: Tensor) -> Tensor:
    """Stretch each image of (B, 1, H, W) to [0, 1] (Eq. 12); a flat image becomes zero."""
    low = image.amin(dim=(2, 3), keepdim=True)
    high = image.amax(dim=(2, 3), keepdim=True)
    return (image - low) / (high - low).clamp_min(EPSILON)


class GradientCalculation(nn.Module):
    """The Gradient Calculation Layer: Sobel gradient of a min-max normalised image (Eq. 9-12).

    Paper is silent: the frame. The image is padded by replication, so that the frame is no edge.
    """

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        sobel_x = torch.tensor([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]])
        self.register_buffer(
            "kernel", torch.stack((sobel_x, sobel_x.T)).unsqueeze(1), persistent=False
        )

    def forward(self, image: Tensor) -> Gradient:
        """Differentiate (B, 1, H, W); where the image is flat, magnitude and direction are zero."""
        padded = F.pad(min_max_normalize(image), (1, 1, 1, 1), mode="replicate")
        # conv2d correlates; Eq. 9 convolves. Turning the kernel only flips both signs at once,
        # which neither the magnitude nor the absolute cosine of Eq. 5 sees; it is turned all the
        # same, so that the layer gives what the paper writes.
        vector = F.conv2d(padded, self.kernel.flip(2, 3))
        magnitude = vector.square().sum(dim=1, keepdim=True).add(EPSILON**2).sqrt() - EPSILON
        return Gradient(magnitude, vector / (magnitude + EPSILON))


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Average `values` where `mask` is one; zero, with zero gradient, where it is nowhere one."""
    return (values * mask).sum() / mask.sum().clamp_min(1.0)


def binary_cross_entropy(logits: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """Eq. 3 and Eq. 4 averaged over the valid pixels.

    Args:
        logits: (B, 1, H, W), any floating dtype.
        target: (B, 1, H, W) in [0, 1].
        valid: (B, 1, H, W), 1 where the pixel shows the photo, 0 where it is padding.
    """
    losses = F.binary_cross_entropy_with_logits(logits.float(), target.float(), reduction="none")
    return masked_mean(losses, valid.float())


class RefineLoss(nn.Module):
    """Gradient loss in the boundary area (Eq. 5-7).

    Args:
        cosine_weight: gamma_1 of Eq. 7.
        magnitude_weight: gamma_2 of Eq. 7.
        magnitude_ratio: lambda of Eq. 6.
    """

    def __init__(
        self,
        *,
        cosine_weight: float = 0.5,
        magnitude_weight: float = 0.5,
        magnitude_ratio: float = 1.5,
    ) -> None:
        super().__init__()
        self.gradient = GradientCalculation()
        self.cosine_weight = cosine_weight
        self.magnitude_weight = magnitude_weight
        self.magnitude_ratio = magnitude_ratio

    def forward(self, portrait: Tensor, image: Tensor, boundary_mask: Tensor) -> Tensor:
        """Compare the gradient of a confidence map with that of its photo.

        Args:
            portrait: Confidence in [0, 1], (B, 1, H, W).
            image: RGB in [0, 1], not normalised, (B, 3, H, W).
            boundary_mask: M_bound of Eq. 7, 1 in the boundary area, (B, 1, H, W).

        Returns:
            The mean of Eq. 7 over the boundary area of the batch, zero if that is empty.
        """
        with torch.no_grad():
            of_image = self.gradient(luma(image.float()))
        of_portrait = self.gradient(portrait.float())
        cosine = (of_image.direction * of_portrait.direction).sum(dim=1, keepdim=True)
        cosine_loss = (1 - cosine.abs()) * of_portrait.magnitude  # Eq. 5
        magnitude_loss = F.relu(
            self.magnitude_ratio * of_image.magnitude - of_portrait.magnitude
        )  # Eq. 6
        loss = self.cosine_weight * cosine_loss + self.magnitude_weight * magnitude_loss
        return masked_mean(loss, boundary_mask.float())


class BANetLoss(nn.Module):
    """The weighted sum of Eq. 8.

    Args:
        segmentation_weight: alpha of Eq. 8.
        boundary_weight: beta of Eq. 8.
        refine_weight: gamma of Eq. 8; 0 in the first stage of the paper's training.
    """

    def __init__(
        self,
        *,
        segmentation_weight: float = 0.6,
        boundary_weight: float = 0.3,
        refine_weight: float = 0.1,
    ) -> None:
        super().__init__()
        self.segmentation_weight = segmentation_weight
        self.boundary_weight = boundary_weight
        self.refine_weight = refine_weight
        self.refine = RefineLoss()

    def forward(
        self, prediction: Prediction, image: Tensor, mask: Tensor, boundary: Tensor, valid: Tensor
    ) -> LossTerms:
        """Compute the loss of a batch.

        Args:
            prediction: Output of the network for the normalised `image`.
            image: RGB in [0, 1], not normalised, (B, 3, H, W).
            mask: Segmentation target in [0, 1], (B, 1, H, W).
            boundary: Boundary target in {0, 1}, (B, 1, H, W).
            valid: 1 where the pixel shows the photo, 0 where it is padding, (B, 1, H, W).
        """
        zero = prediction.portrait.new_zeros((), dtype=torch.float32)
        segmentation = binary_cross_entropy(prediction.portrait, mask, valid)
        boundary_loss, refine = zero, zero
        if prediction.boundary is not None:
            boundary_loss = binary_cross_entropy(prediction.boundary, boundary, valid)
        if self.refine_weight > 0:
            confidence = prediction.portrait.float().sigmoid()
            refine = self.refine(confidence, image, boundary * valid)
        return self.weighted_sum(segmentation, boundary_loss, refine)

    def weighted_sum(self, segmentation: Tensor, boundary: Tensor, refine: Tensor) -> LossTerms:
        """Join the three terms, each a scalar, as Eq. 8 does."""
        total = (
            self.segmentation_weight * segmentation
            + self.boundary_weight * boundary
            + self.refine_weight * refine
        )
        return LossTerms(total, segmentation, boundary, refine)
