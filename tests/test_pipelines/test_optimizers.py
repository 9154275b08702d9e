import pytest
import torch
from torch import nn

from pipelines.optimizers import build_optimizer, load_optimizer_tensors, optimizer_tensors
from pipelines.recipes import Stage


@pytest.fixture
def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.PReLU(4))


def test_adamw_decays_neither_biases_nor_normalisation(network: nn.Module) -> None:
    before = {name: each.clone() for name, each in network.named_parameters()}
    optimizer = build_optimizer(
        Stage(iterations=1, optimizer="adamw", learning_rate=0.1, weight_decay=0.5), network
    )
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    decayed = {
        name for name, each in network.named_parameters() if not torch.equal(each, before[name])
    }
    assert decayed == {"0.weight"}


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_remembered_tensors_let_another_optimizer_go_on_alike(
    network: nn.Module, name: str
) -> None:
    stage = Stage(iterations=1, optimizer=name, learning_rate=0.01)
    first = build_optimizer(stage, network)
    step(first, network, seed=0)
    kept = {key: value.clone() for key, value in optimizer_tensors(first, network).items()}
    weights = {key: value.clone() for key, value in network.state_dict().items()}
    step(first, network, seed=1)
    expected = {key: value.clone() for key, value in network.state_dict().items()}
    network.load_state_dict(weights)
    second = build_optimizer(stage, network)
    load_optimizer_tensors(second, network, kept)
    step(second, network, seed=1)
    torch.testing.assert_close(dict(network.state_dict()), expected, rtol=0, atol=0)


def step(optimizer: torch.optim.Optimizer, network: nn.Module, *, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in network.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)
    optimizer.step()
