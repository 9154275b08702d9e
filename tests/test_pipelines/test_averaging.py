import pytest
import torch
from torch import nn

from pipelines.averaging import AveragedNetwork


def network_of(value: float) -> nn.BatchNorm2d:
    network = nn.BatchNorm2d(2)
    with torch.no_grad():
        for each in (*network.parameters(), network.running_mean, network.running_var):
            each.fill_(value)
    network.num_batches_tracked.fill_(int(value))
    return network


def test_average_forgets_the_start_soon() -> None:
    averaged = AveragedNetwork(network_of(0))
    for _ in range(40):
        averaged.update(network_of(1), decay=0.9999)
    assert averaged.network.weight[0].item() > 0.99


def test_decay_is_reached_in_the_end() -> None:
    averaged = AveragedNetwork(network_of(0))
    averaged.updates = 10**6
    averaged.update(network_of(1), decay=0.75)
    assert averaged.network.weight[0].item() == pytest.approx(0.25)


def test_batch_statistics_are_averaged_too() -> None:
    averaged = AveragedNetwork(network_of(0))
    averaged.updates = 10**6
    averaged.update(network_of(4), decay=0.75)
    assert averaged.network.running_var[0].item() == pytest.approx(1.0)
    assert averaged.network.num_batches_tracked.item() == 4
