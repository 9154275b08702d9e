import torch

from models import build_model
from models.edanet import GROWTH_RATE, EDAModule


def test_dilations_are_those_of_its_paper() -> None:
    modules = [each for each in build_model("edanet").encoder if isinstance(each, EDAModule)]
    assert [(m.grow[7].dilation[0], m.grow[8].dilation[1]) for m in modules] == [
        (dilation, dilation) for dilation in (1, 1, 1, 2, 2, 2, 2, 4, 4, 8, 8, 16, 16)
    ]


def test_module_keeps_what_it_got_and_adds_channels() -> None:
    torch.manual_seed(0)
    features = torch.rand(1, 60, 12, 10)
    grown = EDAModule(60, dilation=2).eval()(features)
    assert grown.shape == (1, 60 + GROWTH_RATE, 12, 10)
    assert torch.equal(grown[:, :60], features)
    assert grown.min() >= 0
