"""What every network of the registry must do."""

import pytest
import torch
from safetensors.torch import load, save
from slim_networks import slim_network
from torch import nn

from models import MODELS, build_model, count_parameters, fold_batch_norm

SIZES = [(64, 64), (97, 65), (33, 130), (32, 32)]
TABLE_2 = {
    "enet": (0.35, 0.03),
    "bisenet": (27.01, 0.03),
    "edanet": (0.68, 0.03),
    "unet": (13.40, 0.03),
    "pfcn-plus": (134.27, 0.03),
    "banet-64": (0.62, 0.02),
    "banet-512": (12.75, 0.02),
}


@pytest.fixture(scope="module", params=MODELS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def network(name: str) -> nn.Module:
    """Return a network whose running statistics are those of some batch, not zero and one."""
    torch.manual_seed(0)
    network = slim_network(name)
    with torch.no_grad():
        network.train()(torch.rand(2, 3, 64, 64))
    return network


@pytest.mark.parametrize(("name", "expected"), TABLE_2.items())
def test_parameter_count_is_that_of_table_2(name: str, expected: tuple[float, float]) -> None:
    millions, tolerance = expected
    with torch.device("meta"):  # which spares them their numbers
        network = build_model(name)
    assert count_parameters(network) == pytest.approx(millions * 1e6, rel=tolerance)


def test_unknown_model_is_named_with_the_available_ones() -> None:
    with pytest.raises(ValueError, match=r"'banet-9'.*enet, .*banet-64, banet-512"):
        build_model("banet-9")


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_logits_have_the_size_of_the_image(network: nn.Module, height: int, width: int) -> None:
    with torch.inference_mode():
        prediction = network.eval()(torch.rand(2, 3, height, width))
    assert prediction.portrait.shape == (2, 1, height, width)


def test_every_parameter_gets_a_finite_gradient(network: nn.Module) -> None:
    network.zero_grad()
    prediction = network.train()(torch.rand(2, 3, 64, 64))
    loss = prediction.portrait.square().mean()
    if prediction.boundary is not None:
        loss = loss + prediction.boundary.square().mean()
    loss.backward()
    gradients = {name: parameter.grad for name, parameter in network.named_parameters()}
    assert all(g is not None and g.isfinite().all() for g in gradients.values())
    # Of a bias before a batch normalisation it is zero up to rounding.
    weights = [g for name, g in gradients.items() if name.endswith("weight")]
    assert sum(g.abs().sum() > 0 for g in weights) > 0.9 * len(weights)


def test_photos_of_a_batch_do_not_influence_each_other(network: nn.Module) -> None:
    images = torch.rand(3, 3, 64, 48)
    with torch.inference_mode():
        together = network.eval()(images).portrait
        alone = torch.cat([network(image.unsqueeze(0)).portrait for image in images])
    torch.testing.assert_close(together, alone, rtol=1e-3, atol=1e-4)


def test_prediction_depends_on_every_part_of_the_photo(network: nn.Module) -> None:
    image = torch.rand(1, 3, 64, 64)
    changed = image.clone()
    changed[..., -8:, -8:] += 1
    with torch.inference_mode():
        before, after = (network.eval()(each).portrait for each in (image, changed))
    assert (before - after)[..., -8:, -8:].abs().max() > 1e-4


def test_saved_and_loaded_network_predicts_the_same(name: str, network: nn.Module) -> None:
    image = torch.rand(1, 3, 64, 64)
    copy = slim_network(name).eval()
    copy.load_state_dict(load(save(network.state_dict())))
    with torch.inference_mode():
        assert torch.equal(copy(image).portrait, network.eval()(image).portrait)


def test_folded_network_predicts_the_same_up_to_rounding(network: nn.Module) -> None:
    image = torch.rand(2, 3, 65, 97)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with torch.inference_mode():
        expected = network.eval()(image).portrait
        given = fold_batch_norm(network)(image).portrait
    assert (given - expected).abs().max() < 1e-4 * (1 + expected.abs().max())
    assert all(torch.equal(before[name], each) for name, each in network.state_dict().items())


def test_folding_leaves_only_the_batch_norms_of_concatenations(
    name: str, network: nn.Module
) -> None:
    folded = fold_batch_norm(network)
    left = sum(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    assert left == {"enet": 1, "edanet": 2}.get(name, 0)
