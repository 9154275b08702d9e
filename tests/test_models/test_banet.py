import pytest
import torch
from safetensors.torch import load, save
from torch import nn

from models import boundary_temperature, build_model, count_parameters, normalize
from models.banet import BoundaryAttention, SemanticBranch
from models.blocks import FeatureFusionModule

SIZES = [(64, 64), (97, 65), (33, 130), (32, 32)]


@pytest.fixture(params=["banet-64"])
def network(request: pytest.FixtureRequest) -> nn.Module:
    torch.manual_seed(0)
    return build_model(request.param)


@pytest.mark.parametrize(("name", "millions"), [("banet-64", 0.62), ("banet-512", 12.75)])
def test_parameter_count_is_within_two_percent_of_table_2(name: str, millions: float) -> None:
    assert count_parameters(build_model(name)) == pytest.approx(millions * 1e6, rel=0.02)


def test_unknown_model_is_named_with_the_available_ones() -> None:
    with pytest.raises(ValueError, match=r"'banet-9'.*banet-64, banet-512"):
        build_model("banet-9")


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_logits_have_the_size_of_the_image(network: nn.Module, height: int, width: int) -> None:
    prediction = network.eval()(torch.rand(2, 3, height, width))
    assert prediction.portrait.shape == (2, 1, height, width)
    assert prediction.boundary.shape == (2, 1, height, width)


def test_semantic_branch_ends_at_a_quarter_of_the_size() -> None:
    branch = SemanticBranch(widths=[64, 64, 64, 64], depths=[1, 3, 3, 3])
    assert branch(torch.rand(2, 3, 64, 96)).shape == (2, 64, 16, 24)


def test_every_parameter_gets_a_finite_gradient(network: nn.Module) -> None:
    prediction = network.train()(torch.rand(2, 3, 64, 64))
    (prediction.portrait.square().mean() + prediction.boundary.square().mean()).backward()
    gradients = {name: p.grad for name, p in network.named_parameters()}
    assert all(g is not None and g.isfinite().all() for g in gradients.values())
    assert all(g.abs().sum() > 0 for name, g in gradients.items() if "classify" in name)


def test_photos_of_a_batch_do_not_influence_each_other(network: nn.Module) -> None:
    images = torch.rand(3, 3, 64, 48)
    network.eval()
    together = network(images).portrait
    alone = torch.cat([network(image.unsqueeze(0)).portrait for image in images])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_saved_and_loaded_network_predicts_the_same(network: nn.Module) -> None:
    image = torch.rand(1, 3, 64, 64)
    copy = build_model("banet-64")
    copy.load_state_dict(load(save(network.state_dict())))
    torch.testing.assert_close(
        copy.eval()(image).portrait, network.eval()(image).portrait, rtol=0, atol=0
    )


@pytest.mark.parametrize("name", ["banet-64", "banet-512"])
def test_temperature_can_be_chosen_and_read_back(name: str) -> None:
    assert boundary_temperature(build_model(name)) == 2.0
    assert boundary_temperature(build_model(name, temperature=4.0)) == 4.0


def test_temperature_divides_the_attention_logits() -> None:
    attention = BoundaryAttention(4, temperature=1.0)
    features, image = torch.rand(1, 4, 8, 8), torch.rand(1, 3, 32, 32)
    plain = attention(features, image)
    attention.temperature = 4.0
    torch.testing.assert_close(attention(features, image), plain / 4)


def test_attention_map_reaches_the_mining_branch(network: nn.Module) -> None:
    image = torch.rand(1, 3, 64, 64)
    network.eval()
    before = network(image).portrait
    with torch.no_grad():
        network.boundary_attention.project.bias += 5
    assert not torch.allclose(before, network(image).portrait)


def test_fusion_weighs_channels_by_their_global_context() -> None:
    torch.manual_seed(0)
    fusion = FeatureFusionModule(4, 6).eval()
    semantic, detail = torch.rand(2, 2, 8, 8), torch.rand(2, 2, 8, 8)
    fused = fusion.fuse(torch.cat((semantic, detail), dim=1))
    weights = fusion.weigh(fused.mean(dim=(2, 3), keepdim=True))
    torch.testing.assert_close(fusion(semantic, detail), fused * (1 + weights))
    assert (weights[:, :1] - weights[:, 1:]).abs().max() > 1e-3


def test_normalisation_centres_imagenet_colours() -> None:
    mean_colour = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    assert normalize(mean_colour).abs().max() < 1e-6
    white = normalize(torch.ones(1, 3, 1, 1)).flatten()
    torch.testing.assert_close(white, torch.tensor([2.2489, 2.4286, 2.6400]), rtol=0, atol=1e-4)
