import torch
from torch.nn import functional as F

from models.enet import max_pool, max_unpool


def test_pooling_and_unpooling_agree_with_those_of_torch() -> None:
    torch.manual_seed(0)
    features, small = torch.rand(2, 5, 8, 6), torch.rand(2, 5, 4, 3)
    pooled, places = max_pool(features)
    expected, indices = F.max_pool2d(features, 2, return_indices=True)
    assert torch.equal(pooled, expected)
    assert torch.equal(max_unpool(small, places), F.max_unpool2d(small, indices, 2))
