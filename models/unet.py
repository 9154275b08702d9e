"""U-Net of Ronneberger, Fischer and Brox 2015, "Convolutional Networks for Biomedical Image
Segmentation", in the bilinear variant with 13.40 million parameters that Table 2 lists.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from models.blocks import ConvNormAct, upsample_to
from models.prediction import Prediction


class DoubleConv(nn.Sequential):
    """Two 3x3 convolutions: (B, in_channels, H, W) to (B, out_channels, H, W)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(
            ConvNormAct(in_channels, out_channels), ConvNormAct(out_channels, out_channels)
        )


class Up(nn.Module):
    """A step of the expanding path: upsample, concatenate the skip, convolve twice."""

    def __init__(self, in_channels: int, skip_channels: int, out_channels: int) -> None:
        super().__init__()
        self.convolve = DoubleConv(in_channels + skip_channels, out_channels)

    def forward(self, features: Tensor, skip: Tensor) -> Tensor:
        """Join (B, C, h, w) and (B, C', H, W) to (B, out_channels, H, W)."""
        return self.convolve(torch.cat((skip, upsample_to(features, skip)), dim=1))


class UNet(nn.Module):
    """U-Net with batch normalisation, same-size convolutions and bilinear upsampling.

    Differs from its paper: the convolutions are padded, so that no border is lost; features are
    normalised, without dropout; and upsampling is bilinear, which is why the deepest stage is no
    wider than the one before it. This is the variant that has the 13.40 million parameters of
    Table 2.

    Args:
        widths: Channels at 1/1, 1/2, 1/4, 1/8 and 1/16.
    """

    def __init__(self, *, widths: Sequence[int] = (64, 128, 256, 512, 512)) -> None:
        super().__init__()
        self.enter = DoubleConv(3, widths[0])
        self.down = nn.ModuleList(DoubleConv(high, low) for high, low in pairwise(widths))
        self.pool = nn.MaxPool2d(2, ceil_mode=True)
        outs = [*reversed(widths[:-2]), widths[0]]
        ins = [widths[-1], *outs[:-1]]
        self.up = nn.ModuleList(
            Up(wide, skip, narrow)
            for wide, skip, narrow in zip(ins, reversed(widths[:-1]), outs, strict=True)
        )
        self.classify = nn.Conv2d(widths[0], 1, kernel_size=1)

    def forward(self, image: Tensor) -> Prediction:
        """Segment normalised images (B, 3, H, W) of any size; logits come at the same size."""
        features = self.enter(image)  # 1/1
        skips = []
        for stage in self.down:
            skips.append(features)
            features = stage(self.pool(features))
        for step in self.up:
            features = step(features, skips.pop())
        return Prediction(portrait=self.classify(features), boundary=None)
