"""Building blocks that networks share."""

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
    """Residual bottleneck block of He et al. 2016 (figure 5, right), BANet's basic block.

    Paper is silent: the inner width. It equals the outer one here instead of a quarter of it,
    because with at most 64 channels a fourfold reduction would leave 16 and the network could
    not reach its 0.62 M parameters at a sensible depth.

    Maps (B, in_channels, H, W) to (B, out_channels, ceil(H / stride), ceil(W / stride)).
    """

    def __init__(self, in_channels: int, out_channels: int, *, stride: int = 1) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            ConvNormAct(in_channels, out_channels, kernel_size=1),
            ConvNormAct(out_channels, out_channels, stride=stride),
            ConvNormAct(out_channels, out_channels, kernel_size=1, activation=False),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            self.shortcut = ConvNormAct(
                in_channels, out_channels, kernel_size=1, stride=stride, activation=False
            )

    def forward(self, features: Tensor) -> Tensor:
        """Add residual and shortcut: (B, C, H, W) to (B, C', H', W')."""
        return F.relu(self.residual(features) + self.shortcut(features))


def upsample_to(features: Tensor, reference: Tensor) -> Tensor:
    """Resize (B, C, h, w) bilinearly to the height and width of `reference` (B, C', H, W)."""
    size = reference.shape[-2:]
    return F.interpolate(features, size=size, mode="bilinear", align_corners=False)


def count_parameters(module: nn.Module) -> int:
    """Return how many learnable parameters `module` has."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)
