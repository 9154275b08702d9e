"""Networks, losses and metrics: tensors only, no disk, no devices, no terminal."""

from collections.abc import Callable
from functools import partial

from torch import nn

from models.banet import BANet, banet
from models.blocks import count_parameters
from models.prediction import IMAGE_MEAN, IMAGE_STD, Prediction, normalize

__all__ = [
    "IMAGE_MEAN",
    "IMAGE_STD",
    "MODELS",
    "Prediction",
    "boundary_temperature",
    "build_model",
    "count_parameters",
    "normalize",
]

MODELS: dict[str, Callable[..., nn.Module]] = {
    "banet-64": partial(banet, max_channels=64),
    "banet-512": partial(banet, max_channels=512),
}
"""Builders by the name that `--model` takes; each accepts keyword overrides of its defaults."""


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
    return MODELS[name](**overrides)


def boundary_temperature(network: nn.Module) -> float | None:
    """Return T of Eq. 2 that a network was built with; None if it has no boundary attention."""
    return network.boundary_attention.temperature if isinstance(network, BANet) else None
