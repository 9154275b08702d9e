import pytest
import torch
from torch import nn
from torch.nn import functional as F

from models import MODELS, boundary_temperature, build_model, count_parameters, normalize
from models.banet import BoundaryAttention, SemanticBranch
from models.blocks import FeatureFusionModule, WeighedClassifier


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return build_model("banet-64")


@pytest.mark.parametrize(("height", "width"), [(64, 64), (97, 65)])
def test_attention_map_has_the_size_of_the_image(
    network: nn.Module, height: int, width: int
) -> None:
    prediction = network.eval()(torch.rand(2, 3, height, width))
    assert prediction.boundary.shape == (2, 1, height, width)


def test_base_model_has_no_attention_map_and_mines_the_photo_alone() -> None:
    base, full = build_model("banet-64-base"), build_model("banet-64")
    assert base(torch.rand(2, 3, 64, 64)).boundary is None
    assert boundary_temperature(base) is None
    # 64 weights and a bias of the map, and 3 x 3 weights for its channel in each of 8 kernels.
    assert count_parameters(full) - count_parameters(base) == 64 + 1 + 9 * 8


def test_attention_and_full_model_are_one_network_trained_differently() -> None:
    assert str(build_model("banet-64-attention")) == str(build_model("banet-64"))
    assert not MODELS["banet-64-attention"].refine_loss
    assert MODELS["banet-64"].refine_loss


def test_semantic_branch_ends_at_a_quarter_of_the_size() -> None:
    branch = SemanticBranch(widths=[64, 64, 64, 64], depths=[1, 3, 3, 3])
    assert branch(torch.rand(2, 3, 64, 96)).shape == (2, 64, 16, 24)


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
    expected = fusion.fuse(torch.cat((semantic, detail), dim=1))
    mean = expected.mean(dim=(2, 3), keepdim=True)
    fused, factors = fusion(semantic, detail)
    torch.testing.assert_close(fused, expected)
    torch.testing.assert_close(factors, 1 + fusion.weigh[1:](mean))
    assert (factors[:, :1] - factors[:, 1:]).abs().max() > 1e-3


def test_classifier_sees_the_weighed_channels() -> None:
    torch.manual_seed(0)
    classify = WeighedClassifier(6)
    features, factors = torch.rand(2, 6, 8, 5), torch.rand(2, 6, 1, 1)
    plain = F.conv2d(features * factors, classify.weight, classify.bias)
    torch.testing.assert_close(classify(features, factors), plain)


def test_normalisation_centres_imagenet_colours() -> None:
    mean_colour = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    assert normalize(mean_colour).abs().max() < 1e-6
    white = normalize(torch.ones(1, 3, 1, 1)).flatten()
    torch.testing.assert_close(white, torch.tensor([2.2489, 2.4286, 2.6400]), rtol=0, atol=1e-4)
