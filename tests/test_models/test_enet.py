import torch
from torch import nn
from torch.nn import functional as F

from models import build_model
from models.enet import Bottleneck, max_pool, max_unpool


def test_pooling_and_unpooling_agree_with_those_of_torch() -> None:
    torch.manual_seed(0)
    features, small = torch.rand(2, 5, 8, 6), torch.rand(2, 5, 4, 3)
    pooled, places = max_pool(features)
    expected, indices = F.max_pool2d(features, 2, return_indices=True)
    assert torch.equal(pooled, expected)
    assert torch.equal(max_unpool(small, places), F.max_unpool2d(small, indices, 2))


def test_context_is_that_of_table_1() -> None:
    """Dilation of the middle convolutions; 0 stands for the asymmetric pair."""
    kinds = [
        next(
            0 if layer.kernel_size == (5, 1) else layer.dilation[0]
            for layer in bottleneck.residual
            if isinstance(layer, nn.Conv2d) and layer.kernel_size != (1, 1)
        )
        for bottleneck in build_model("enet").stages2and3
        if isinstance(bottleneck, Bottleneck)
    ]
    assert kinds == [1, 2, 0, 4, 1, 8, 0, 16] * 2
