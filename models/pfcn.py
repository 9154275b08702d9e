"""PFCN and PFCN+ of Shen et al. 2016, "Automatic Portrait Segmentation for Image Stylization":
FCN-8s of Long, Shelhamer and Darrell 2015 on VGG-16, the latter with six input channels.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.blocks import ConvNormAct, upsample_to
from models.prediction import Prediction

PRIOR_CHANNELS = 3
"""Two of position and one of shape, warped from the reference face to that of the photo."""


class PFCN(nn.Module):
    """FCN-8s on VGG-16: five pooled stages, two convolutions that once were fully connected.

    Differs from its paper: every convolution has batch normalisation, without which it could not
    be trained from random weights, and there are none of ImageNet here to start from; `fc6` is
    padded by 3 instead of the photo by 100, so that no time goes into padding; scores are brought
    up bilinearly, which is what its transposed convolutions start from; the layers that score the
    two skips do not start from zero; and dropout takes whole channels.

    Args:
        prior_channels: Channels that `forward` takes beside the photo.
        widths: Channels of the stages at 1/1, 1/2, 1/4, 1/8 and 1/16.
        depths: Convolutions of the same stages.
        dense_channels: Channels of `fc6` and `fc7`, at 1/32.
        dropout: Probability, after each of these two.
    """

    def __init__(
        self,
        *,
        prior_channels: int = 0,
        widths: Sequence[int] = (64, 128, 256, 512, 512),
        depths: Sequence[int] = (2, 2, 3, 3, 3),
        dense_channels: int = 4096,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.prior_channels = prior_channels
        stages = []
        in_channels = 3 + prior_channels
        for width, depth in zip(widths, depths, strict=True):
            layers = [ConvNormAct(in_channels, width)]
            layers += [ConvNormAct(width, width) for _ in range(1, depth)]
            stages.append(nn.Sequential(*layers, nn.MaxPool2d(2, ceil_mode=True)))
            in_channels = width
        self.stages = nn.ModuleList(stages)  # end at 1/2, 1/4, 1/8, 1/16, 1/32
        self.dense = nn.Sequential(
            ConvNormAct(in_channels, dense_channels, kernel_size=7),  # fc6
            nn.Dropout2d(dropout),
            ConvNormAct(dense_channels, dense_channels, kernel_size=1),  # fc7
            nn.Dropout2d(dropout),
        )
        self.score = nn.Conv2d(dense_channels, 1, kernel_size=1)  # 1/32
        self.score4 = nn.Conv2d(widths[3], 1, kernel_size=1)  # 1/16
        self.score3 = nn.Conv2d(widths[2], 1, kernel_size=1)  # 1/8

    def forward(self, image: Tensor, prior: Tensor | None = None) -> Prediction:
        """Segment a batch.

        Args:
            image: Normalised, (B, 3, H, W) of any size.
            prior: Position and shape channels of PFCN+, (B, 3, H, W); None, which is all zero,
                where no face was found, and always for PFCN.

        Returns:
            Logits of the size of the image, (B, 1, H, W).
        """
        features = image
        if self.prior_channels:
            given = torch.zeros_like(image) if prior is None else prior
            features = torch.cat((image, given), dim=1)
        ends = []
        for stage in self.stages:
            features = stage(features)
            ends.append(features)
        score = self.score(self.dense(features))
        score = upsample_to(score, ends[3]) + self.score4(ends[3])
        score = upsample_to(score, ends[2]) + self.score3(ends[2])
        return Prediction(portrait=upsample_to(score, image), boundary=None)
