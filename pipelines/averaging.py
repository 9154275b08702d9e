"""The exponential moving average of a network's weights."""

import copy
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
        # Collected once, since walking through hundreds of modules takes longer than averaging.
        self._numbers, self._counts = _tensors(self.network)

    def update(self, network: nn.Module, *, decay: float) -> None:
        """Follow one step: average <- d * average + (1 - d) * network.

        Args:
            network: After the step.
            decay: The greatest d, in [0, 1); after n updates at most (1 + n) / (10 + n).
        """
        reached = min(decay, (1 + self.updates) / (10 + self.updates))
        numbers, counts = _tensors(network)
        get_ema_multi_avg_fn(reached)(self._numbers, numbers, self.updates)
        for mine, theirs in zip(self._counts, counts, strict=True):
            mine.copy_(theirs)
        self.updates += 1


def _tensors(network: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
    """Return parameters and buffers: those of floats, and those of whole numbers."""
    every = [each.detach() for each in chain(network.parameters(), network.buffers())]
    return (
        [each for each in every if each.is_floating_point()],
        [each for each in every if not each.is_floating_point()],
    )
