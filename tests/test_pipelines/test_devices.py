import platform
from pathlib import Path

import pytest
import torch

from models import build_model
from pipelines.devices import (
    device_name,
    half_precision,
    memory_limit_explained,
    precision_name,
    resolve_device,
    resolve_precision,
    training_layout,
    utilisation,
)
from pipelines.errors import BanetError, ConfigError, DeviceError


def test_cpu_is_there() -> None:
    assert resolve_device("cpu").type == "cpu"
    assert resolve_device("auto").type in {"cpu", "cuda"}


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "cuda:-1", "cpu:0:0", "", "meta"])
def test_names_that_mean_nothing_are_wrong_usage(name: str) -> None:
    with pytest.raises(ConfigError, match="use auto, cpu, cuda, cuda:N or mps"):
        resolve_device(name)


@pytest.mark.parametrize("index", [99, 200, 999])
def test_missing_gpu_is_never_replaced(index: int) -> None:
    with pytest.raises(DeviceError, match=rf"--device cuda:{index}: this machine offers \d+ CUDA"):
        resolve_device(f"cuda:{index}")


def test_precisions_of_the_cpu() -> None:
    cpu = torch.device("cpu")
    assert resolve_precision("fp32", cpu) is torch.float32
    assert resolve_precision("bf16", cpu) is torch.bfloat16
    assert resolve_precision("auto", cpu, size=63) is torch.float32
    assert resolve_precision("auto", cpu, size=64) is resolve_precision("auto", cpu)
    assert precision_name(resolve_precision("auto", cpu)) in {"fp32", "bf16"}
    with pytest.raises(ConfigError, match="on a CPU use bf16 or fp32"):
        resolve_precision("fp16", cpu)


@pytest.mark.parametrize(
    ("capabilities", "precision"),
    [
        ({"avx512_bf16": True}, "bf16"),
        ({"avx512_bf16": False, "amx_bf16": True}, "bf16"),
        ({"avx512_bf16": False, "amx_bf16": False, "avx2": True}, "fp32"),
        ({}, "fp32"),
    ],
)
def test_auto_is_bf16_on_cpus_that_are_built_for_it(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], precision: str
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert precision_name(resolve_precision("auto", torch.device("cpu"))) == precision


@pytest.mark.skipif(
    not Path("/proc/cpuinfo").exists() or platform.machine() != "x86_64",
    reason="compares with what Linux says of x86 processors",
)
def test_auto_goes_by_the_processor_that_is_there() -> None:
    flags = set(Path("/proc/cpuinfo").read_text().split())
    precision = precision_name(resolve_precision("auto", torch.device("cpu")))
    assert (precision == "bf16") == bool(flags & {"avx512_bf16", "amx_bf16"})


@pytest.mark.parametrize(
    ("capability", "dtype"), [((7, 5), torch.float16), ((8, 0), torch.bfloat16)]
)
def test_half_precision_is_what_the_gpu_is_built_for(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], dtype: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: capability)
    assert half_precision(torch.device("cuda")) is dtype


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
        Exception("[ONNXRuntimeError] : 6 : Failed to allocate memory for requested buffer"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("MPS backend out of memory (MPS allocated: 1.00 GB)"),
        RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        MemoryError(),
    ],
)
def test_missing_memory_becomes_advice(error: Exception) -> None:
    with pytest.raises(BanetError, match="use less"), memory_limit_explained("use less"):
        raise error


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(RuntimeError, match="a bug"), memory_limit_explained("use less"):
        raise RuntimeError("a bug")


def test_the_cpu_has_a_name() -> None:
    assert device_name(torch.device("cpu"))


@pytest.mark.parametrize("name", ["edanet", "enet", "banet-64"])
def test_gradients_in_the_layout_of_training_are_numbers(name: str) -> None:
    torch.manual_seed(0)
    network = build_model(name).train()
    layout = training_layout(network, device=torch.device("cpu"), dtype=torch.bfloat16)
    network.to(memory_format=layout)
    image = torch.rand(8, 3, 160, 120).contiguous(memory_format=layout)
    with torch.autocast("cpu", torch.bfloat16):
        logits = network(image).portrait
    logits.float().square().mean().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())


@pytest.mark.parametrize("device", ["cpu", "mps", "cuda:99"])
def test_nothing_is_said_of_how_busy_a_device_is_that_cannot_be_asked(device: str) -> None:
    assert utilisation(device) is None


@pytest.mark.parametrize("device", ["cuda", "cuda:0"])
def test_how_busy_a_gpu_is_is_a_share_and_only_said_where_there_is_one(device: str) -> None:
    share = utilisation(device)

    assert share is None or (torch.cuda.is_available() and 0 <= share <= 1)
