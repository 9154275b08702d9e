"""The form that a trained network takes for inference."""

import copy
from itertools import pairwise

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fold_batch_norm(network: nn.Module) -> nn.Module:
    """Copy a network in eval mode with every batch normalisation folded into its convolution.

    In eval mode a batch normalisation is one factor and one offset per channel, which the
    convolution before it can carry: the same function with fewer passes over the features. Only
    neighbours within an `nn.Sequential` are folded; any other batch normalisation stays as it is,
    such as that of concatenated features, which no single convolution made.

    Args:
        network: Any; it is not changed.

    Returns:
        A copy in eval mode that computes the same up to rounding. Its state dict is no longer
        that of the network: weights are loaded before folding.
    """
    folded = copy.deepcopy(network).eval()
    for sequence in [module for module in folded.modules() if isinstance(module, nn.Sequential)]:
        for (name, first), (next_name, second) in pairwise(list(sequence.named_children())):
            if isinstance(first, nn.Conv2d | nn.ConvTranspose2d) and isinstance(
                second, nn.BatchNorm2d
            ):
                transposed = isinstance(first, nn.ConvTranspose2d)
                setattr(sequence, name, fuse_conv_bn_eval(first, second, transpose=transposed))
                setattr(sequence, next_name, nn.Identity())
    return folded
