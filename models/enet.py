"""ENet of Paszke, Chaurasia, Kim and Culurciello 2016, "ENet: A Deep Neural Network Architecture
for Real-Time Semantic Segmentation".

The names and numbers of the stages are those of its table 1.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.blocks import crop_to, pad_to_multiple
from models.prediction import Prediction

PROJECTION_RATIO = 4
"""A bottleneck works on a quarter of the channels that enter it.

Its paper is silent about the downsampling ones. A quarter of what leaves them gives 376 thousand
parameters (its table 3 says 0.37 million), a quarter of what enters 359 thousand; BANet's Table 2
says 0.35 million.
"""


class Pooled(NamedTuple):
    """Features after 2x2 max pooling, and where each maximum lay.

    Attributes:
        features: (B, C, H / 2, W / 2).
        places: Index into the H * W values of the plane, (B, C, H / 2, W / 2).
    """

    features: Tensor
    places: Tensor


def max_pool(features: Tensor) -> Pooled:
    """Pool (B, C, H, W), H and W even, remembering the places for `max_unpool`."""
    return Pooled(*F.max_pool2d(features, 2, return_indices=True))


def max_unpool(features: Tensor, places: Tensor) -> Tensor:
    """Put (B, C, h, w) back to the remembered places of (B, C, 2h, 2w), zero elsewhere."""
    height, width = features.shape[-2:]
    if not torch.compiler.is_exporting():
        # What `F.max_unpool2d` calls, which looks at sizes in a way that cannot be traced.
        unpooled: Tensor = torch._C._nn.max_unpool2d(features, places, (2 * height, 2 * width))  # noqa: SLF001
        return unpooled
    # The same in operations that ONNX has; torch's own is the faster one.
    planes = features.new_zeros(*features.shape[:2], 4 * height * width)
    filled = planes.scatter(2, places.flatten(2), features.flatten(2))
    return filled.unflatten(2, (2 * height, 2 * width))


def _convolution(
    in_channels: int, out_channels: int, *, activation: bool = True, **shape: object
) -> list[nn.Module]:
    """Convolution, batch normalisation and PReLU."""
    layers: list[nn.Module] = [
        nn.Conv2d(in_channels, out_channels, bias=False, **shape),  # type: ignore[arg-type]
        nn.BatchNorm2d(out_channels),
    ]
    return [*layers, nn.PReLU(out_channels)] if activation else layers


class InitialBlock(nn.Module):
    """13 channels from a strided convolution, 3 from pooling (figure 2a)."""

    def __init__(self, out_channels: int = 16) -> None:
        super().__init__()
        self.convolve = nn.Conv2d(3, out_channels - 3, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)
        self.activate = nn.PReLU(out_channels)

    def forward(self, image: Tensor) -> Tensor:
        """Map (B, 3, H, W) to (B, 16, H / 2, W / 2)."""
        joined = torch.cat((self.convolve(image), F.max_pool2d(image, 2)), dim=1)
        return self.activate(self.norm(joined))


class Bottleneck(nn.Module):
    """A bottleneck that keeps size and width (figure 2b).

    Args:
        channels: Of input and output.
        dropout: Probability with which a whole channel of the residual is dropped.
        dilation: Of the middle convolution.
        asymmetric: Whether that is a 5x1 and a 1x5 convolution instead of a 3x3 one.
    """

    def __init__(
        self, channels: int, *, dropout: float = 0.1, dilation: int = 1, asymmetric: bool = False
    ) -> None:
        super().__init__()
        inner = channels // PROJECTION_RATIO
        if asymmetric:
            middle = [
                nn.Conv2d(inner, inner, (5, 1), padding=(2, 0), bias=False),
                *_convolution(inner, inner, kernel_size=(1, 5), padding=(0, 2)),
            ]
        else:
            middle = _convolution(inner, inner, kernel_size=3, padding=dilation, dilation=dilation)
        self.residual = nn.Sequential(
            *_convolution(channels, inner, kernel_size=1),
            *middle,
            *_convolution(inner, channels, kernel_size=1, activation=False),
            nn.Dropout2d(dropout),
        )
        self.activate = nn.PReLU(channels)

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        return self.activate(features + self.residual(features))


class DownBottleneck(nn.Module):
    """A bottleneck that halves the size; the shortcut pools and pads with zero channels."""

    def __init__(self, in_channels: int, out_channels: int, *, dropout: float) -> None:
        super().__init__()
        inner = in_channels // PROJECTION_RATIO
        self.residual = nn.Sequential(
            *_convolution(in_channels, inner, kernel_size=2, stride=2),
            *_convolution(inner, inner, kernel_size=3, padding=1),
            *_convolution(inner, out_channels, kernel_size=1, activation=False),
            nn.Dropout2d(dropout),
        )
        self.activate = nn.PReLU(out_channels)
        self.added_channels = out_channels - in_channels

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Map (B, C, H, W) to (B, C', H / 2, W / 2) and the places of the maxima."""
        pooled, places = max_pool(features)
        shortcut = F.pad(pooled, (0, 0, 0, 0, 0, self.added_channels))
        return self.activate(shortcut + self.residual(features)), places


class UpBottleneck(nn.Module):
    """A bottleneck that doubles the size; the shortcut unpools what the encoder pooled."""

    def __init__(self, in_channels: int, out_channels: int, *, dropout: float = 0.1) -> None:
        super().__init__()
        inner = in_channels // PROJECTION_RATIO
        self.shortcut = nn.Sequential(
            *_convolution(in_channels, out_channels, kernel_size=1, activation=False)
        )
        self.residual = nn.Sequential(
            *_convolution(in_channels, inner, kernel_size=1),
            nn.ConvTranspose2d(inner, inner, 3, stride=2, padding=1, output_padding=1, bias=False),
            nn.BatchNorm2d(inner),
            nn.PReLU(inner),
            *_convolution(inner, out_channels, kernel_size=1, activation=False),
            nn.Dropout2d(dropout),
        )
        self.activate = nn.PReLU(out_channels)

    def forward(self, features: Tensor, places: Tensor) -> Tensor:
        """Map (B, C, h, w) and places (B, C', h, w) to (B, C', 2h, 2w)."""
        return self.activate(max_unpool(self.shortcut(features), places) + self.residual(features))


def _context() -> list[nn.Module]:
    """The eight bottlenecks that stage 2 and stage 3 share."""
    return [
        Bottleneck(128),
        Bottleneck(128, dilation=2),
        Bottleneck(128, asymmetric=True),
        Bottleneck(128, dilation=4),
        Bottleneck(128),
        Bottleneck(128, dilation=8),
        Bottleneck(128, asymmetric=True),
        Bottleneck(128, dilation=16),
    ]


class ENet(nn.Module):
    """ENet for one class.

    Its paper is silent about odd sizes: the image is padded to a multiple of 8 by replication. Of
    the last convolution it does not say how large the kernel is: 3x3 here.
    """

    def __init__(self) -> None:
        super().__init__()
        self.initial = InitialBlock()  # 1/2
        self.down1 = DownBottleneck(16, 64, dropout=0.01)  # 1/4
        self.stage1 = nn.Sequential(*(Bottleneck(64, dropout=0.01) for _ in range(4)))
        self.down2 = DownBottleneck(64, 128, dropout=0.1)  # 1/8
        self.stages2and3 = nn.Sequential(*_context(), *_context())
        self.up4 = UpBottleneck(128, 64)  # 1/4
        self.stage4 = nn.Sequential(Bottleneck(64), Bottleneck(64))
        self.up5 = UpBottleneck(64, 16)  # 1/2
        self.stage5 = Bottleneck(16)
        self.full = nn.ConvTranspose2d(16, 1, 3, stride=2, padding=1, output_padding=1)  # 1/1

    def forward(self, image: Tensor) -> Prediction:
        """Segment normalised images (B, 3, H, W) of any size; logits come at the same size."""
        features = self.initial(pad_to_multiple(image, 8))
        features, places1 = self.down1(features)
        features, places2 = self.down2(self.stage1(features))
        features = self.stages2and3(features)
        features = self.stage4(self.up4(features, places2))
        features = self.stage5(self.up5(features, places1))
        return Prediction(portrait=crop_to(self.full(features), image), boundary=None)
