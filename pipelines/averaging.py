"""The exponential moving average of a network's weights."""

import copy
from collections.abc import Iterator
from itertools import chain

from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class AveragedNetwork:
    """A copy of a network whose weights and batch statistics follow those of the original.

    `torch.optim.swa_utils.AveragedModel` counts its updates in a tensor, which a decay that
    depends on the count would have to fetch from the GPU in every step.

    Args:
        network: To start from; it is copied.

    Attributes:
        network: The average, in eval mode.
        updates: How many steps it has followed.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = copy.deepcopy(network).requires_grad_(requires_grad=False).eval()
        self.updates = 0

    def update(self, network: nn.Module, *, decay: float) -> None:
        """Follow one step: average <- d * average + (1 - d) * network.

        Args:
            network: After the step.
            decay: The greatest d, in [0, 1); after n updates at most (1 + n) / (10 + n).
        """
        reached = min(decay, (1 + self.updates) / (10 + self.updates))
        pairs = list(zip(_tensors(self.network), _tensors(network), strict=True))
        numbers = [pair for pair in pairs if pair[0].is_floating_point()]
        follow = get_ema_multi_avg_fn(reached)
        follow([mine for mine, _ in numbers], [theirs for _, theirs in numbers], self.updates)
        for mine, theirs in pairs:
            if not mine.is_floating_point():
                mine.copy_(theirs)
        self.updates += 1


def _tensors(network: nn.Module) -> Iterator[Tensor]:
    return (each.detach() for each in chain(network.parameters(), network.buffers()))
