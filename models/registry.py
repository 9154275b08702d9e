"""The networks by the name that `--model` takes."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from torch import nn

from models.banet import BANet, banet
from models.bisenet import BiSeNet
from models.edanet import EDANet
from models.enet import ENet
from models.pfcn import PFCN, PRIOR_CHANNELS
from models.unet import UNet


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """How a network is built and what it is trained with.

    Attributes:
        build: Builder; accepts keyword overrides of its defaults.
        refine_loss: Whether the refine loss (Eq. 5-7) belongs to it. Where it does, the recipe
            gives its weight; where not, it is left out whatever the recipe says.
        face_prior: Whether its `forward` takes the position and shape channels of PFCN+ as a
            second argument.
    """

    build: Callable[..., nn.Module]
    refine_loss: bool = False
    face_prior: bool = False


MODELS: dict[str, ModelSpec] = {
    "enet": ModelSpec(build=ENet),
    "bisenet": ModelSpec(build=BiSeNet),
    "edanet": ModelSpec(build=EDANet),
    "unet": ModelSpec(build=UNet),
    "pfcn": ModelSpec(build=PFCN),
    "pfcn-plus": ModelSpec(build=partial(PFCN, prior_channels=PRIOR_CHANNELS), face_prior=True),
    "banet-64": ModelSpec(build=partial(banet, max_channels=64), refine_loss=True),
    "banet-512": ModelSpec(build=partial(banet, max_channels=512), refine_loss=True),
    "banet-64-base": ModelSpec(build=partial(banet, max_channels=64, boundary_attention=False)),
    "banet-64-attention": ModelSpec(build=partial(banet, max_channels=64)),
}
"""The networks of Table 2 and `pfcn`, then the two lesser ones of the ablation (Table 3)."""


def build_model(name: str, **overrides: float) -> nn.Module:
    """Build a freshly initialised network.

    Args:
        name: A key of `MODELS`.
        **overrides: Keyword arguments of that builder, such as `temperature`.

    Raises:
        ValueError: The name is not in the registry.
    """
    if name not in MODELS:
        raise ValueError(f"unknown model {name!r}; available: {', '.join(MODELS)}")
    return MODELS[name].build(**overrides)


def boundary_temperature(network: nn.Module) -> float | None:
    """Return T of Eq. 2 that a network was built with; None if it has no boundary attention."""
    if isinstance(network, BANet) and network.boundary_attention is not None:
        return network.boundary_attention.temperature
    return None
