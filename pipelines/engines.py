"""The engines that turn photos into probabilities, one for each kind of weights."""

import threading
from functools import lru_cache
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from pipelines.checkpoints import Weights, load_weights, load_weights_once, refuse_other_file
from pipelines.devices import Precision
from pipelines.face_prior import Face
from pipelines.images import Pixels
from pipelines.inference import Segmenter
from pipelines.onnx_engine import OnnxSegmenter, OnnxWeights, load_onnx
from pipelines.runtimes import resolve_compute, runtime_of

_loading = threading.Lock()


class Engine(Protocol):
    """What turns photos into probabilities, whatever it computes with.

    Attributes:
        device: Where it computes.
        dtype: Of its arithmetic.
    """

    device: torch.device
    dtype: torch.dtype

    def __call__(self, pixels: Pixels, face: Face | None = None) -> NDArray[np.float32]:
        """Segment RGB pixels (H, W, 3) of any size; see `Segmenter`."""


def load_network(name: str) -> Weights | OnnxWeights:
    """Read weights, or a network that was exported, as the name of the file says.

    Raises:
        WeightsError: As `load_weights` and `load_onnx`.
        ConfigError: As `load_onnx`.
    """
    return load_onnx(name) if runtime_of(name) == "onnx" else load_weights(name)


def make_engine(
    weights: Weights | OnnxWeights,
    *,
    device: torch.device,
    dtype: torch.dtype,
    size: int,
    threads: int | None = None,
) -> Engine:
    """Return what computes with such weights.

    Args:
        weights: What `load_network` returned.
        device: As for `Segmenter`; the CPU for an exported network.
        dtype: As for `Segmenter`; float32 for an exported network.
        size: Working size.
        threads: For an exported network; None takes as many as torch would.

    Raises:
        BanetError: As `Segmenter`.
    """
    if isinstance(weights, OnnxWeights):
        return OnnxSegmenter(weights, size=size, threads=threads or torch.get_num_threads())
    return Segmenter(weights.network, device=device, dtype=dtype, size=size)


def engine_once(
    weights: str,
    sha256: str,
    *,
    device: str,
    precision: Precision,
    size: int,
    threads: int | None,
) -> Engine:
    """Return the engine of this process, loading the weights at the first call.

    Raises:
        WeightsError: As `load_network`, or the file is not the one whose hash is `sha256`.
        ConfigError: As `load_network` and `resolve_compute`.
        DeviceError: As `resolve_compute`.
    """
    with _loading:
        return _load_engine(
            weights, sha256, device=device, precision=precision, size=size, threads=threads
        )


@lru_cache(maxsize=2)
def _load_engine(
    name: str,
    sha256: str,
    *,
    device: str,
    precision: Precision,
    size: int,
    threads: int | None,
) -> Engine:
    resolved, dtype = resolve_compute(name, device=device, precision=precision)
    if runtime_of(name) == "torch":
        weights: Weights | OnnxWeights = load_weights_once(name, sha256)
    else:
        weights = load_onnx(name)
        refuse_other_file(name, sha256, found=weights.sha256)
    return make_engine(weights, device=resolved, dtype=dtype, size=size, threads=threads)
