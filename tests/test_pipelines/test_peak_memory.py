import os
import sys
from functools import partial

import numpy as np
import pytest
import torch

from models import MODELS
from pipelines.contender import Contender
from pipelines.errors import BanetError
from pipelines.peak_memory import peak_memory

CPU = torch.device("cpu")
needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell")


def builder(name: str, *, size: int) -> partial[Contender]:
    return partial(
        Contender, name, MODELS[name], device=CPU, dtype=torch.float32, size=size, batch_size=1
    )


@needs_linux
def test_weights_count_and_what_others_hold_does_not() -> None:
    ballast = np.ones(50_000_000)
    peak = peak_memory(builder("banet-512", size=32), device=CPU)
    weights = 4 * 12_634_338
    assert weights < peak < weights + 40e6 < ballast.nbytes


@needs_linux
def test_larger_photos_take_more() -> None:
    small, large = (peak_memory(builder("banet-64", size=size), device=CPU) for size in (32, 384))
    full_resolution_features = 4 * 16 * 384 * 384
    assert large - small > full_resolution_features


def test_photos_that_no_memory_can_hold_are_explained() -> None:
    with pytest.raises(BanetError, match="banet-64: not enough memory on cpu"):
        peak_memory(builder("banet-64", size=10**7), device=CPU)


def test_a_process_that_the_system_killed_is_explained() -> None:
    with pytest.raises(BanetError, match="the system ended the process that measures memory"):
        peak_memory(partial(os._exit, 1), device=CPU)


def test_apple_gpus_have_no_figure() -> None:
    assert peak_memory(builder("banet-64", size=32), device=torch.device("mps")) is None
