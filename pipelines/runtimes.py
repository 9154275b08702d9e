"""What computes the masks: torch with weights files, ONNX Runtime with .onnx files."""

import logging
from pathlib import Path
from typing import Literal

import torch

from pipelines.devices import Precision, resolve_device, resolve_precision

logger = logging.getLogger(__name__)

Runtime = Literal["auto", "torch", "onnx"]


def runtime_of(weights: str) -> Literal["torch", "onnx"]:
    """Return what can compute with weights, which is ONNX Runtime if their name ends in .onnx."""
    return "onnx" if Path(weights).suffix.lower() == ".onnx" else "torch"


def runtime_mistakes(
    weights: str, *, runtime: Runtime, device: str, precision: Precision
) -> list[str]:
    """Say which options do not go together with these weights, and what to do about it."""
    mistakes = []
    if runtime == "onnx" and runtime_of(weights) == "torch":
        mistakes.append(
            f"--runtime onnx: {weights} is for torch; `banet export {weights} FILE.onnx` makes "
            "what --weights needs then"
        )
    if runtime_of(weights) == "torch":
        return mistakes
    if runtime == "torch":
        mistakes.append(
            f"--runtime torch: {weights} is for ONNX Runtime; leave --runtime out, or name the "
            "weights that `banet export` made it from"
        )
    if device not in {"auto", "cpu"}:
        mistakes.append(
            f"--device {device}: {weights} is computed on the CPU; use --device cpu, or, if "
            "`banet export` made it, the weights that it was made from"
        )
    if precision not in {"auto", "fp32"}:
        mistakes.append(f"--precision {precision}: {weights} is computed in fp32")
    return mistakes


def resolve_compute(
    *weights: str, device: str, precision: Precision
) -> tuple[torch.device, torch.dtype]:
    """Return the device and the arithmetic for weights that are to be used side by side.

    Where one of them is for ONNX Runtime these are its own, so that `auto` means the same for all.

    Raises:
        ConfigError: As `resolve_device` and `resolve_precision`.
        DeviceError: As `resolve_device`.
    """
    exported = [name for name in weights if runtime_of(name) == "onnx"]
    if exported:
        if len(exported) < len(weights) and (device, precision) != ("cpu", "fp32"):
            logger.info(
                "all weights are computed on the CPU in fp32, as %s can be nowhere else",
                exported[0],
            )
        return torch.device("cpu"), torch.float32
    resolved = resolve_device(device)
    return resolved, resolve_precision(precision, resolved)
