"""The optimizers that recipes name, and what they remember of every parameter."""

from typing import Any

import torch
from torch import Tensor, nn

from pipelines.recipes import Stage

ADAMW_BETA_2 = 0.999

Optimizer = torch.optim.Optimizer


def build_optimizer(stage: Stage, network: nn.Module) -> Optimizer:
    """Return a fresh optimizer for a stage; its rate is the greatest of the stage."""
    if stage.optimizer == "sgd":
        return torch.optim.SGD(
            network.parameters(),
            lr=stage.learning_rate,
            momentum=stage.momentum,
            weight_decay=stage.weight_decay,
            # Not fused: that leaves momentum uninitialised after a step that the scaler leaves out.
        )
    # Biases, and scale and offset of normalisation, are the parameters of a single dimension.
    groups: list[dict[str, Any]] = [
        {"params": [each for each in network.parameters() if each.dim() > 1]},
        {"params": [each for each in network.parameters() if each.dim() <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        groups,
        lr=stage.learning_rate,
        betas=(stage.momentum, ADAMW_BETA_2),
        weight_decay=stage.weight_decay,
        fused=True,
    )


def optimizer_tensors(optimizer: Optimizer, network: nn.Module) -> dict[str, Tensor]:
    """Return what an optimizer remembers, such as momentum, as `<parameter>.<name>`."""
    return {
        f"{name}.{key}": value
        for name, parameter in network.named_parameters()
        for key, value in optimizer.state.get(parameter, {}).items()
        if isinstance(value, Tensor)
    }


def load_optimizer_tensors(
    optimizer: Optimizer, network: nn.Module, tensors: dict[str, Tensor]
) -> None:
    """Let a fresh optimizer remember what `optimizer_tensors` returned.

    Args:
        optimizer: It is changed.
        network: Whose parameters it optimises.
        tensors: On the CPU.

    Raises:
        KeyError: A tensor belongs to no parameter of the network.
        RuntimeError: A tensor has not the shape of its parameter.
    """
    parameters = dict(network.named_parameters())
    for key, value in tensors.items():
        name, kind = key.rsplit(".", 1)
        parameter = parameters[name]
        # What has the parameter's shape also gets its memory format, as the optimizer would have
        # made it; counts of steps are on its device because the optimizer is fused.
        optimizer.state[parameter][kind] = (
            torch.empty_like(parameter).copy_(value) if value.dim() else value.to(parameter.device)
        )
