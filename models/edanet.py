"""EDANet of Lo, Hang, Chan and Lin 2019, "Efficient Dense Modules of Asymmetric Convolution for
Real-Time Semantic Segmentation".
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.blocks import ConvNormAct, upsample_to
from models.prediction import Prediction

GROWTH_RATE = 40
"""Channels that every EDA module adds."""


class Downsampling(nn.Module):
    """ENet's downsampling: a strided convolution beside a max pooling, concatenated.

    Maps (B, in_channels, H, W) to (B, out_channels, ceil(H / 2), ceil(W / 2)).
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.convolve = nn.Conv2d(in_channels, out_channels - in_channels, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(out_channels)

    def forward(self, features: Tensor) -> Tensor:
        """Halve height and width."""
        pooled = F.max_pool2d(features, 2, ceil_mode=True)
        return F.relu(self.norm(torch.cat((self.convolve(features), pooled), dim=1)))


class EDAModule(nn.Module):
    """Efficient dense module of asymmetric convolution (figure 2 of its paper).

    Maps (B, in_channels, H, W) to (B, in_channels + GROWTH_RATE, H, W).

    Args:
        in_channels: Of the input, which the output begins with.
        dilation: Of the second pair of asymmetric convolutions.
        dropout: Probability; the paper's 0.02.
    """

    def __init__(self, in_channels: int, *, dilation: int, dropout: float = 0.02) -> None:
        super().__init__()
        self.grow = nn.Sequential(
            nn.Conv2d(in_channels, GROWTH_RATE, kernel_size=1),
            nn.BatchNorm2d(GROWTH_RATE),
            nn.ReLU(inplace=True),
            *_asymmetric(dilation=1),
            nn.ReLU(inplace=True),
            *_asymmetric(dilation=dilation),
            # Its paper's figure has it behind the concatenation, where it would rectify once more
            # what every module before has rectified already.
            nn.ReLU(inplace=True),
            nn.Dropout2d(dropout),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Add GROWTH_RATE channels: (B, C, H, W) to (B, C + GROWTH_RATE, H, W)."""
        return torch.cat((features, self.grow(features)), dim=1)


def _asymmetric(*, dilation: int) -> tuple[nn.Module, ...]:
    return (
        nn.Conv2d(GROWTH_RATE, GROWTH_RATE, (3, 1), padding=(dilation, 0), dilation=(dilation, 1)),
        nn.Conv2d(GROWTH_RATE, GROWTH_RATE, (1, 3), padding=(0, dilation), dilation=(1, dilation)),
        nn.BatchNorm2d(GROWTH_RATE),
    )


class EDANet(nn.Module):
    """EDANet: three downsamplings, two dense blocks, projection, bilinear upsampling by 8.

    Args:
        first_dilations: Of the modules of the first block, at 1/4.
        second_dilations: Of the modules of the second block, at 1/8.
    """

    def __init__(
        self,
        *,
        first_dilations: Sequence[int] = (1, 1, 1, 2, 2),
        second_dilations: Sequence[int] = (2, 2, 4, 4, 8, 8, 16, 16),
    ) -> None:
        super().__init__()
        dense = 60 + len(first_dilations) * GROWTH_RATE
        self.encoder = nn.Sequential(
            Downsampling(3, 15),  # 1/2
            Downsampling(15, 60),  # 1/4
            *_dense_block(60, first_dilations),
            ConvNormAct(dense, 130, stride=2),  # 1/8, too narrow for a pooling beside it
            *_dense_block(130, second_dilations),
        )
        self.classify = nn.Conv2d(130 + len(second_dilations) * GROWTH_RATE, 1, kernel_size=1)

    def forward(self, image: Tensor) -> Prediction:
        """Segment normalised images (B, 3, H, W) of any size; logits come at the same size."""
        logits = self.classify(self.encoder(image))  # 1/8
        return Prediction(portrait=upsample_to(logits, image), boundary=None)


def _dense_block(in_channels: int, dilations: Sequence[int]) -> list[EDAModule]:
    return [
        EDAModule(in_channels + number * GROWTH_RATE, dilation=dilation)
        for number, dilation in enumerate(dilations)
    ]
