import pytest
import torch
from slim_networks import slim_network


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return slim_network("pfcn-plus").eval()


def test_no_prior_is_a_prior_of_zeros(network: torch.nn.Module) -> None:
    image = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(network(image).portrait, network(image, torch.zeros(1, 3, 64, 64))[0])


def test_prior_changes_the_prediction(network: torch.nn.Module) -> None:
    image, prior = torch.rand(1, 3, 64, 64), torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        assert not torch.allclose(network(image).portrait, network(image, prior).portrait)


def test_pfcn_and_pfcn_plus_differ_by_three_input_channels(network: torch.nn.Module) -> None:
    plus = network.state_dict()["stages.0.0.0.weight"]
    plain = slim_network("pfcn").state_dict()["stages.0.0.0.weight"]
    assert plus.shape[1] - plain.shape[1] == 3
