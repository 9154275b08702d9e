"""The networks of the registry, the largest of them with fewer channels."""

from torch import nn

from models import build_model

DENSE_CHANNELS = 128
"""Of PFCN and PFCN+, whose 4096 are nearly all of their weights and nothing else about them."""


def slim_network(name: str) -> nn.Module:
    """Build a network for tests that do not depend on how many channels it has."""
    if name in {"pfcn", "pfcn-plus"}:
        return build_model(name, dense_channels=DENSE_CHANNELS)
    return build_model(name)
