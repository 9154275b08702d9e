"""Building blocks that networks share."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ConvNormAct(nn.Sequential):
    """Convolution without bias, batch normalisation and, unless told otherwise, ReLU.

    Maps (B, in_channels, H, W) to (B, out_channels, ceil(H / stride), ceil(W / stride)).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        kernel_size: int = 3,
        stride: int = 1,
        activation: bool = True,
    ) -> None:
        super().__init__(
            nn.Conv2d(
                in_channels,
                out_channels,
                kernel_size,
                stride=stride,
                padding=kernel_size // 2,
                bias=False,
            ),
            nn.BatchNorm2d(out_channels),
            *([nn.ReLU(inplace=True)] if activation else []),
        )


class Bottleneck(nn.Module):
    """Residual bottleneck block of He et al. 2016 (figure 5, right).

    Maps (B, in_channels, H, W) to (B, out_channels, ceil(H / stride), ceil(W / stride)).

    Args:
        in_channels: Of the input.
        out_channels: Of the output.
        stride: Of the 3x3 convolution.
        reduction: Outer width over inner width, 4 in ResNet. Of BANet the paper is silent: it is
            1 there, because with at most 64 channels a fourfold reduction would leave 16 and the
            network could not reach its 0.62 M parameters at a sensible depth.
    """

    def __init__(
        self, in_channels: int, out_channels: int, *, stride: int = 1, reduction: int = 1
    ) -> None:
        super().__init__()
        inner = out_channels // reduction
        self.residual = nn.Sequential(
            ConvNormAct(in_channels, inner, kernel_size=1),
            ConvNormAct(inner, inner, stride=stride),
            ConvNormAct(inner, out_channels, kernel_size=1, activation=False),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            self.shortcut = ConvNormAct(
                in_channels, out_channels, kernel_size=1, stride=stride, activation=False
            )

    def forward(self, features: Tensor) -> Tensor:
        """Add residual and shortcut: (B, C, H, W) to (B, C', H', W')."""
        return F.relu(self.residual(features) + self.shortcut(features))


class GlobalMean(nn.Module):
    """Mean over height and width: (B, C, H, W) to (B, C, 1, 1).

    In bfloat16 by a sum, which a CPU adds up in float32 as it goes; for a mean it copies all
    features to float32 first.
    """

    def forward(self, features: Tensor) -> Tensor:
        """Average."""
        if features.dtype is not torch.bfloat16:  # in float16 the sum over a photo overflows
            return features.mean(dim=(2, 3), keepdim=True)
        pixels = _pixels(features)
        return pixels.sum(dim=1)[:, :, None, None] / pixels.shape[1]


class FeatureFusionModule(nn.Module):
    """BiSeNet's fusion of two sources of features (figure 3c of BANet).

    Concatenation, convolution, then weights for the channels from their global means.
    """

    def __init__(self, in_channels: int, out_channels: int, *, kernel_size: int = 3) -> None:
        super().__init__()
        self.fuse = ConvNormAct(in_channels, out_channels, kernel_size=kernel_size)
        self.weigh = nn.Sequential(
            GlobalMean(),
            nn.Conv2d(out_channels, out_channels, kernel_size=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(out_channels, out_channels, kernel_size=1),
            nn.Sigmoid(),
        )

    def forward(self, semantic: Tensor, detail: Tensor) -> tuple[Tensor, Tensor]:
        """Fuse two sources.

        Args:
            semantic: (B, C1, H, W).
            detail: (B, C2, H, W), where C1 + C2 = in_channels.

        Returns:
            Fused features (B, C, H, W), and the factors (B, C, 1, 1) that they are yet to be
            multiplied by, since whatever is linear can take them into its own weights.
        """
        fused = self.fuse(torch.cat((semantic, detail), dim=1))
        return fused, 1 + self.weigh(fused)


class WeighedClassifier(nn.Conv2d):
    """1x1 convolution to one logit of features whose channels are weighed photo by photo.

    The factors go into its few weights instead of over all pixels.
    """

    def __init__(self, in_channels: int) -> None:
        super().__init__(in_channels, 1, kernel_size=1)

    def forward(self, features: Tensor, factors: Tensor) -> Tensor:  # type: ignore[override]
        """Map features (B, C, H, W) and factors (B, C, 1, 1) to logits (B, 1, H, W)."""
        assert self.bias is not None
        logits = _pixels(features) @ (self.weight * factors).flatten(2) + self.bias
        return logits.transpose(1, 2).unflatten(2, features.shape[2:])


def _pixels(features: Tensor) -> Tensor:
    """Rearrange (B, C, H, W) to (B, H * W, C), which channels last lie in memory."""
    return features.permute(0, 2, 3, 1).flatten(1, 2)


def upsample_to(features: Tensor, reference: Tensor) -> Tensor:
    """Resize (B, C, h, w) bilinearly to the height and width of `reference` (B, C', H, W).

    A CPU takes half the time for it in float32, and comes to the same numbers in bfloat16.
    """
    size = reference.shape[-2:]
    is_slow = features.dtype is torch.bfloat16 and features.device.type == "cpu"
    wide = features.float() if is_slow else features
    return F.interpolate(wide, size=size, mode="bilinear", align_corners=False).to(features.dtype)


def pad_to_multiple(image: Tensor, multiple: int) -> Tensor:
    """Pad (B, C, H, W) at the right and at the bottom until both sizes are multiples.

    By replication, so that the frame of the photo is no edge.
    """
    height, width = image.shape[-2:]
    return F.pad(image, (0, -width % multiple, 0, -height % multiple), mode="replicate")


def crop_to(features: Tensor, reference: Tensor) -> Tensor:
    """Cut (B, C, h, w) at the right and at the bottom to the size of `reference`."""
    height, width = reference.shape[-2:]
    return features[..., :height, :width]


def count_parameters(module: nn.Module) -> int:
    """Return how many learnable parameters `module` has."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)
