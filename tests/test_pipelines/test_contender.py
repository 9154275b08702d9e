from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from models import ModelSpec
from pipelines.contender import Contender
from pipelines.errors import BanetError

BuildContender = Callable[..., Contender]


class Recorder(nn.Module):
    """Remembers what its forward passes were given."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 8, 3, padding=1)
        self.seen: list[tuple[Tensor, ...]] = []

    def forward(self, *inputs: Tensor) -> Tensor:
        self.seen.append((*inputs, self.convolution(inputs[0])))
        return self.seen[-1][-1]


class Exhausted(nn.Module):
    def __init__(self, error: RuntimeError) -> None:
        super().__init__()
        self.error = error

    def forward(self, _image: Tensor) -> Tensor:
        raise self.error


@pytest.fixture
def contend() -> BuildContender:
    """Let a network that is made by a test contend on the CPU."""

    def build(network: nn.Module, *, face_prior: bool = False, **settings: object) -> Contender:
        spec = ModelSpec(build=lambda: network, face_prior=face_prior)
        defaults = {"dtype": torch.float32, "size": 40, "batch_size": 2}
        return Contender("made", spec, device=torch.device("cpu"), **{**defaults, **settings})

    return build


def inputs_seen(contender: Contender) -> tuple[Tensor, ...]:
    contender()
    return contender._network.seen[-1]


@pytest.mark.parametrize("batch_size", [1, 3])
def test_flops_are_those_of_one_photo_counted_by_hand(
    contend: BuildContender, batch_size: int
) -> None:
    contender = contend(Recorder(), batch_size=batch_size)
    multiply_adds = 40 * 40 * 3 * 8 * 3 * 3
    assert contender.count_flops() == 2 * multiply_adds


def test_flops_of_half_precision_are_the_same(contend: BuildContender) -> None:
    contender = contend(Recorder(), dtype=torch.bfloat16)
    assert contender.count_flops() == contend(Recorder()).count_flops()


def test_batch_and_size_are_as_asked_for(contend: BuildContender) -> None:
    image, features = inputs_seen(contend(Recorder(), size=37, batch_size=5))
    assert image.shape == (5, 3, 37, 37)
    assert image.is_contiguous(memory_format=torch.channels_last)
    assert features.shape == (5, 8, 37, 37)


def test_half_precision_is_what_the_convolutions_compute_in(contend: BuildContender) -> None:
    image, features = inputs_seen(contend(Recorder(), dtype=torch.bfloat16))
    assert image.dtype is torch.float32
    assert features.dtype is torch.bfloat16


def test_a_network_with_a_face_prior_gets_one(contend: BuildContender) -> None:
    image, prior, _ = inputs_seen(contend(Recorder(), face_prior=True))
    assert prior.shape == image.shape


def test_the_network_is_in_its_form_for_inference(contend: BuildContender) -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1, bias=False), nn.BatchNorm2d(4), nn.Dropout())
    contender = contend(network)
    assert contender.parameters == 12 + 8
    assert not contender._network.training
    assert not [m for m in contender._network.modules() if isinstance(m, nn.BatchNorm2d)]


def test_the_random_numbers_of_the_caller_are_left_alone(contend: BuildContender) -> None:
    network = Recorder()
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    contend(network)
    assert torch.equal(torch.rand(1), expected)


def test_photos_that_no_memory_can_hold_are_explained(contend: BuildContender) -> None:
    with pytest.raises(BanetError, match=r"made: not enough memory on cpu; use a smaller --size"):
        contend(Recorder(), size=10**7)


@pytest.mark.parametrize("method", ["__call__", "count_flops"])
def test_a_device_that_is_full_is_explained(contend: BuildContender, method: str) -> None:
    contender = contend(Exhausted(torch.OutOfMemoryError("CUDA out of memory")))
    with pytest.raises(BanetError, match="not enough memory"):
        getattr(contender, method)()


def test_other_errors_are_left_as_they_are(contend: BuildContender) -> None:
    contender = contend(Exhausted(RuntimeError("shapes do not match")))
    with pytest.raises(RuntimeError, match="shapes do not match"):
        contender()
