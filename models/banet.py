"""BANet of Chen, Qi and Shen, "Boundary-Aware Network for Fast and High-Accuracy Portrait
Segmentation".

The file reads as figure 3 of the paper: semantic branch, boundary attention, boundary feature
mining branch, feature fusion module, and last the network that joins them.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from models.blocks import (
    Bottleneck,
    ConvNormAct,
    FeatureFusionModule,
    WeighedClassifier,
    upsample_to,
)
from models.prediction import Prediction


class SemanticBranch(nn.Module):
    """FCN-4s of bottleneck blocks: down to 1/32, then back up to 1/4 by element-wise addition.

    Differs from paper: the stem reaches 1/4 through two strided convolutions before the first
    block, since bottlenecks at 1/2 cost more time than the whole rest of the branch and the
    detail that they would keep is the mining branch's work.

    Args:
        widths: Channels of the stages at 1/4, 1/8, 1/16 and 1/32.
        depths: Blocks of the same stages.
        stem_channels: Channels after the first and the second convolution.
    """

    def __init__(
        self,
        *,
        widths: Sequence[int],
        depths: Sequence[int],
        stem_channels: tuple[int, int] = (16, 32),
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            ConvNormAct(3, stem_channels[0], stride=2),  # 1/2
            ConvNormAct(stem_channels[0], stem_channels[1], stride=2),  # 1/4
        )
        stages = []
        in_channels = stem_channels[1]
        for index, (width, depth) in enumerate(zip(widths, depths, strict=True)):
            entry = Bottleneck(in_channels, width, stride=2 if index else 1)
            stages.append(
                nn.Sequential(entry, *(Bottleneck(width, width) for _ in range(1, depth)))
            )
            in_channels = width
        self.stages = nn.ModuleList(stages)  # 1/4, 1/8, 1/16, 1/32
        self.decoder = nn.ModuleList(
            Bottleneck(deep, shallow) for deep, shallow in pairwise(reversed(widths))
        )  # 1/32, 1/16, 1/8

    def forward(self, image: Tensor) -> Tensor:
        """Map images (B, 3, H, W) to features (B, widths[0], H / 4, W / 4)."""
        features = self.stem(image)
        skips = []
        for stage in self.stages:
            features = stage(features)
            skips.append(features)
        features = skips.pop()
        for block in self.decoder:
            skip = skips.pop()
            features = upsample_to(block(features), skip) + skip
        return features


class BoundaryAttention(nn.Module):
    """Projection of the semantic features to one channel, softened by a temperature (Eq. 2).

    Paper is silent: the temperature T. The loss (Eq. 4) sees the same tempered logits.

    Args:
        in_channels: Channels of the semantic features.
        temperature: T of Eq. 2; greater is softer.
    """

    def __init__(self, in_channels: int, *, temperature: float) -> None:
        super().__init__()
        self.project = nn.Conv2d(in_channels, 1, kernel_size=1)
        self.temperature = temperature

    def forward(self, semantic: Tensor, image: Tensor) -> Tensor:
        """Map (B, C, H / 4, W / 4) to tempered logits (B, 1, H, W), the size of `image`."""
        return upsample_to(self.project(semantic) / self.temperature, image)


class BANet(nn.Module):
    """The boundary-aware network.

    Differs from paper: the semantic features are projected to a few channels at 1/4 scale before
    they are brought to full size, because the fusion convolution over 64 full-resolution
    channels alone would be most of the arithmetic.

    Args:
        widths: Channels of the semantic stages at 1/4, 1/8, 1/16 and 1/32.
        depths: Bottleneck blocks of the same stages.
        semantic_channels: Channels of the semantic features that enter the fusion.
        detail_channels: Channels that the mining branch extracts at full resolution.
        fused_channels: Channels of the feature fusion module.
        boundary_attention: Whether there is a boundary attention map. Without it the mining
            branch sees the photo alone: the base model of Table 3.
        temperature: T of Eq. 2.
    """

    def __init__(
        self,
        *,
        widths: Sequence[int],
        depths: Sequence[int] = (1, 3, 3, 3),
        semantic_channels: int = 8,
        detail_channels: int = 8,
        fused_channels: int = 16,
        boundary_attention: bool = True,
        temperature: float = 2.0,
    ) -> None:
        super().__init__()
        self.semantic_branch = SemanticBranch(widths=widths, depths=depths)
        self.boundary_attention = (
            BoundaryAttention(widths[0], temperature=temperature) if boundary_attention else None
        )
        self.reduce = ConvNormAct(widths[0], semantic_channels, kernel_size=1)
        self.mining_branch = ConvNormAct(3 + boundary_attention, detail_channels)
        self.fusion = FeatureFusionModule(semantic_channels + detail_channels, fused_channels)
        self.classify = WeighedClassifier(fused_channels)

    def forward(self, image: Tensor) -> Prediction:
        """Segment normalised images (B, 3, H, W) of any size; logits come at the same size."""
        semantic = self.semantic_branch(image)  # 1/4
        boundary, seen = None, image
        if self.boundary_attention is not None:
            boundary = self.boundary_attention(semantic, image)  # 1/1
            seen = torch.cat((image, boundary.sigmoid()), dim=1)
        detail = self.mining_branch(seen)  # 1/1
        fused, factors = self.fusion(upsample_to(self.reduce(semantic), image), detail)  # 1/1
        return Prediction(portrait=self.classify(fused, factors), boundary=boundary)


def banet(*, max_channels: int, **settings: Any) -> BANet:
    """Build BANet-`max_channels`: stage widths double from 64 at 1/4 and are capped.

    64 gives 0.61 M parameters, 512 gives 12.63 M (Table 2: 0.62 and 12.75).

    Args:
        max_channels: The cap.
        **settings: Other keyword arguments of `BANet`.
    """
    widths = [min(64 * 2**stage, max_channels) for stage in range(4)]
    return BANet(widths=widths, **settings)
