"""BiSeNet of Yu et al. 2018, "BiSeNet: Bilateral Segmentation Network for Real-time Semantic
Segmentation".
"""

from collections.abc import Sequence

from torch import Tensor, nn

from models.blocks import (
    Bottleneck,
    ConvNormAct,
    FeatureFusionModule,
    GlobalMean,
    WeighedClassifier,
    upsample_to,
)
from models.prediction import Prediction


class ResNet(nn.Module):
    """The residual network of He et al. 2016 without its classifier.

    Differs from its paper: the 3x3 convolution of a block is the strided one, as in later ResNets.

    Args:
        widths: Channels of the stages at 1/4, 1/8, 1/16 and 1/32.
        depths: Bottleneck blocks of the same stages; 3, 4, 6, 3 is ResNet-50.
    """

    def __init__(
        self,
        *,
        widths: Sequence[int] = (256, 512, 1024, 2048),
        depths: Sequence[int] = (3, 4, 6, 3),
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            ConvNormAct(3, 64, kernel_size=7, stride=2),  # 1/2
            nn.MaxPool2d(3, stride=2, padding=1),  # 1/4
        )
        stages = []
        in_channels = 64
        for index, (width, depth) in enumerate(zip(widths, depths, strict=True)):
            entry = Bottleneck(in_channels, width, stride=2 if index else 1, reduction=4)
            rest = (Bottleneck(width, width, reduction=4) for _ in range(1, depth))
            stages.append(nn.Sequential(entry, *rest))
            in_channels = width
        self.stages = nn.ModuleList(stages)  # 1/4, 1/8, 1/16, 1/32

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the features of all four stages for images (B, 3, H, W)."""
        features = self.stem(image)
        ends = []
        for stage in self.stages:
            features = stage(features)
            ends.append(features)
        return ends


class AttentionRefinementModule(nn.Module):
    """Re-weights channels by their global means (figure 2b), after a 3x3 convolution to C'.

    Differs from its paper: the convolution, which common implementations have too.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.convolve = ConvNormAct(in_channels, out_channels)
        self.weigh = nn.Sequential(
            GlobalMean(),
            ConvNormAct(out_channels, out_channels, kernel_size=1, activation=False),
            nn.Sigmoid(),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C', H, W)."""
        features = self.convolve(features)
        return features * self.weigh(features)


class ContextPath(nn.Module):
    """Backbone, global context, and refinement of its last two stages to 1/8."""

    def __init__(self, *, channels: int, widths: Sequence[int], depths: Sequence[int]) -> None:
        super().__init__()
        self.backbone = ResNet(widths=widths, depths=depths)
        self.refine16 = AttentionRefinementModule(widths[2], channels)
        self.refine32 = AttentionRefinementModule(widths[3], channels)
        self.tail = nn.Sequential(GlobalMean(), ConvNormAct(widths[3], channels, kernel_size=1))

    def forward(self, image: Tensor) -> Tensor:
        """Map images (B, 3, H, W) to (B, channels, H / 8, W / 8)."""
        _, eighth, sixteenth, deepest = self.backbone(image)
        context = self.refine32(deepest) + self.tail(deepest)
        context = upsample_to(context, sixteenth) + self.refine16(sixteenth)
        return upsample_to(context, eighth)


class BiSeNet(nn.Module):
    """BiSeNet with the backbone that gives the parameters of BANet's Table 2.

    None of its published variants has 27.01 million parameters: its paper states 5.8 million with
    Xception39 and 49.0 million with ResNet-18, and common implementations of the latter have about
    13 million. ResNet-50 with a context path of 128 channels gives 27.6 million (+2.3 %).

    Differs from its paper: no auxiliary losses on the two context stages, since all networks here
    are trained by the same criterion, and no backbone that has seen ImageNet, since there is none
    here.

    Args:
        channels: Of the context path and of the end of the spatial path.
        widths: Of the stages of the ResNet.
        depths: Of the same.
    """

    def __init__(
        self,
        *,
        channels: int = 128,
        widths: Sequence[int] = (256, 512, 1024, 2048),
        depths: Sequence[int] = (3, 4, 6, 3),
    ) -> None:
        super().__init__()
        self.spatial_path = nn.Sequential(
            ConvNormAct(3, 64, stride=2),  # 1/2
            ConvNormAct(64, 64, stride=2),  # 1/4
            ConvNormAct(64, channels, stride=2),  # 1/8
        )
        self.context_path = ContextPath(channels=channels, widths=widths, depths=depths)
        self.fusion = FeatureFusionModule(2 * channels, 2 * channels, kernel_size=1)
        self.classify = WeighedClassifier(2 * channels)

    def forward(self, image: Tensor) -> Prediction:
        """Segment normalised images (B, 3, H, W) of any size; logits come at the same size."""
        fused, factors = self.fusion(self.context_path(image), self.spatial_path(image))  # 1/8
        logits = self.classify(fused, factors)
        return Prediction(portrait=upsample_to(logits, image), boundary=None)
