"""Choosing the device and the arithmetic that the networks run with."""

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import nn

from pipelines.errors import BanetError, ConfigError, DeviceError

Precision = Literal["auto", "fp32", "bf16", "fp16"]

DEVICE_KINDS = ("cpu", "cuda", "mps")

AMPERE = (8, 0)
"""The compute capability from which on NVIDIA GPUs calculate in bfloat16."""

LEAST_SIZE_IN_BF16 = 64
"""Least side in pixels of what a network sees in bf16 on a CPU.

Where a convolution of 3 x 3 with stride 2 leaves a single row or column, oneDNN as in torch 2.13
computes on processors with AMX with memory that nobody wrote: every pass gives another mask, or
none. `banet-512` does so below 64 pixels, `banet-64` below 32.
"""

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


_OUT_OF_MEMORY = (
    *("DefaultCPUAllocator", "Failed to allocate memory", "bad allocation", "bad_alloc"),
    *("Insufficient memory", "out of memory", "_STATUS_ALLOC_FAILED"),
    "could not create a primitive",  # of oneDNN, which compiles its code then
)
"""What torch, ONNX Runtime, OpenCV and the libraries of CUDA say where they have no exception of
their own for it."""


def resolve_device(name: str) -> torch.device:
    """Turn `auto`, `cpu`, `cuda`, `cuda:N` or `mps` into a device that is there.

    Raises:
        ConfigError: The name is none of these.
        DeviceError: An explicitly named device is missing; there is no silent fallback.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, index = name.partition(":")
    if kind not in DEVICE_KINDS or (":" in name and not (kind == "cuda" and index.isdecimal())):
        raise ConfigError(f"--device {name}: use auto, cpu, cuda, cuda:N or mps")
    # torch.device would wrap an index that is too large for it around.
    if kind == "cuda" and int(index or 0) >= torch.cuda.device_count():
        raise DeviceError(
            f"--device {name}: this machine offers {torch.cuda.device_count()} CUDA devices to "
            "torch; use --device cpu, or install a CUDA build of torch and its driver"
        )
    if kind == "mps" and not torch.backends.mps.is_available():
        raise DeviceError(f"--device {name}: torch finds no Apple GPU here; use --device cpu")
    return torch.device(name)


def resolve_precision(
    precision: Precision, device: torch.device, *, size: int | None = None
) -> torch.dtype:
    """Return the dtype for autocast; `auto` takes half precision where the device is built for it.

    Args:
        precision: As the option has it.
        device: That computes.
        size: Longer side of what a network sees, in pixels; None if each photo sees to it that it
            is no less than `LEAST_SIZE_IN_BF16`.

    Raises:
        ConfigError: The device cannot compute in the requested precision.
    """
    if precision == "auto":
        is_small = device.type == "cpu" and size is not None and size < LEAST_SIZE_IN_BF16
        return torch.bfloat16 if _has_native_bfloat16(device) and not is_small else torch.float32
    if precision == "fp16" and device.type == "cpu":
        raise ConfigError("--precision fp16: on a CPU use bf16 or fp32")
    return DTYPES[precision]


def half_precision(device: torch.device) -> torch.dtype | None:
    """Return the 16-bit dtype that a device is built for; None if there is no such."""
    if _has_native_bfloat16(device):
        return torch.bfloat16
    return torch.float16 if device.type == "cuda" else None


def precision_name(dtype: torch.dtype) -> str:
    """Return the name that `--precision` has for a dtype."""
    return next(name for name, candidate in DTYPES.items() if candidate is dtype)


def device_name(device: torch.device) -> str:
    """Return what the maker calls a device, as far as the system knows."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return str(torch.cpu.get_capabilities().get("cpu_name") or platform.machine())


def utilisation(device: str) -> float | None:
    """Return how busy a CUDA device is, 0 to 1; None for others, or if the driver does not tell.

    Torch asks the driver by means of the package `nvidia-ml-py`, which may be missing.
    """
    if torch.device(device).type != "cuda":
        return None
    try:
        return torch.cuda.utilization(torch.device(device)) / 100
    except Exception:  # noqa: BLE001 - of a package that is not there to be named
        return None


def autocast(device: torch.device, dtype: torch.dtype) -> torch.autocast:
    """Return the autocast context of a device; it does nothing in float32."""
    return torch.autocast(device.type, dtype=dtype, enabled=dtype is not torch.float32)


def training_layout(
    network: nn.Module, *, device: torch.device, dtype: torch.dtype
) -> torch.memory_format:
    """Return the memory format to train a network in: channels last, where that gives gradients.

    The oneDNN of torch 2.13 returns weight gradients that are no numbers for dilated convolutions
    in bfloat16 and channels last, where the channels are an odd multiple of 8, as EDANet's 40 are.
    """
    wrong = (
        device.type == "cpu"
        and dtype is torch.bfloat16
        and any(
            max(module.dilation) > 1 and module.in_channels % 16
            for module in network.modules()
            if isinstance(module, nn.Conv2d)
        )
    )
    return torch.contiguous_format if wrong else torch.channels_last


def is_out_of_memory(error: Exception) -> bool:
    """Tell whether a computation failed for want of memory, by its words where it must be."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return any(words in str(error) for words in _OUT_OF_MEMORY)


@contextmanager
def memory_limit_explained(advice: str) -> Iterator[None]:
    """Raise a `BanetError` that says `advice` where the memory does not suffice."""
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise BanetError(advice) from error


def _has_native_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        # Not torch.cuda.is_bf16_supported, which asks the current device instead of this one.
        return torch.cuda.get_device_capability(device) >= AMPERE
    if device.type == "cpu":
        capabilities = torch.cpu.get_capabilities()
        return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
    return False
