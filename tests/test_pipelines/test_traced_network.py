"""Traced networks compute what the networks do."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
import torch
from slim_networks import slim_network

from models import MODELS, build_model
from pipelines.devices import autocast
from pipelines.inference import Segmenter, inference_form
from pipelines.traced_network import TracedNetwork

CPU = torch.device("cpu")
SHAPES = [(96, 64), (64, 96), (32, 160), (112, 80)]


@pytest.fixture(scope="module", params=sorted(MODELS))
def trained(request: pytest.FixtureRequest) -> torch.nn.Module:
    torch.manual_seed(0)
    return slim_network(request.param).eval()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@torch.inference_mode()
def test_they_give_the_same_bits_at_any_size(trained: torch.nn.Module, dtype: torch.dtype) -> None:
    network = inference_form(trained, device=CPU, dtype=dtype)
    context = partial(autocast, CPU, dtype)
    traced = TracedNetwork(Portrait(network), context=context)

    for shape in ((1, 3, 64, 96), (1, 3, 80, 64), (2, 3, 64, 80), (1, 3, 64, 96)):
        photos = torch.rand(*shape)
        with context():
            expected = network(photos).portrait
        assert torch.equal(traced(photos), expected)


def test_threads_share_them() -> None:
    torch.manual_seed(0)
    segmenter = Segmenter(
        build_model("banet-64"), device=CPU, dtype=torch.bfloat16, size=96, traced=True
    )
    photos = [torch.randint(0, 256, (*shape, 3), dtype=torch.uint8).numpy() for shape in 3 * SHAPES]
    alone = list(map(segmenter, photos))

    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(segmenter, photos))

    for one, other in zip(alone, together, strict=True):
        assert (one == other).all()


class Portrait(torch.nn.Module):
    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, photos: torch.Tensor) -> torch.Tensor:
        portrait: torch.Tensor = self.network(photos).portrait
        return portrait
