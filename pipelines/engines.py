"""The engines that turn photos into probabilities, one for each kind of weights."""

import threading
from functools import lru_cache
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from pipelines.batching import MOST_PHOTOS, BatchingSegmenter
from pipelines.checkpoints import Weights, load_weights, load_weights_once
from pipelines.devices import Precision
from pipelines.errors import ConfigError
from pipelines.face_prior import Face
from pipelines.images import Pixels
from pipelines.inference import Segmenter
from pipelines.network_description import NetworkDescription
from pipelines.onnx_engine import OnnxSegmenter, open_session
from pipelines.onnx_weights import OnnxWeights, load_onnx, read_onnx
from pipelines.runtimes import resolve_compute, runtime_of
from pipelines.seen_photo import SeenPhoto

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
        """Segment RGB pixels (H, W, 3) of any size; see `Segmenter`.

        Returns:
            Probability that a pixel shows a person, (h, w) in [0, 1], of the whole photo. Networks
            of others choose h and w as they like, not even in the proportions of the photo.
        """

    def prepare(self, pixels: Pixels, face: Face | None = None) -> SeenPhoto:
        """Do the first half of a call: bring the photo to what the network sees of it.

        Returns:
            It has the other half as `SeenPhoto.probability`.
        """


def load_network(name: str) -> Weights | OnnxWeights:
    """Read weights, or a network in an ONNX file, as the name of the file says.

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
        device: As for `Segmenter`; the CPU for an ONNX file.
        dtype: As for `Segmenter`; float32 for an ONNX file.
        size: Working size.
        threads: For an ONNX file; None takes as many as torch would.

    Raises:
        BanetError: As `Segmenter`.
    """
    if isinstance(weights, OnnxWeights):
        return _onnx_engine(weights.content, weights.description, size=size, threads=threads)
    return Segmenter(weights.network, device=device, dtype=dtype, size=size)


def engine_once(
    weights: str,
    sha256: str,
    *,
    device: str,
    precision: Precision,
    size: int,
    threads: int | None,
    batch_size: int | None = None,
    description: NetworkDescription | None = None,
) -> Engine:
    """Return the engine of this process, loading the weights at the first call.

    Args:
        weights: What `load_network` takes.
        sha256: Of the file that it names.
        device: As for `resolve_compute`.
        precision: As for `resolve_compute`.
        size: Working size.
        threads: As for `make_engine`.
        batch_size: Most photos of a forward pass; None for what suits the device. Photos of threads
            that call at the same time share one. ONNX files always take one photo.
        description: Of a network in an ONNX file. It comes from whoever started the run, so that
            all workers use the network in the same way.

    Raises:
        WeightsError: As `load_network`, or the file is not the one whose hash is `sha256`.
        ConfigError: As `load_network` and `resolve_compute`.
        DeviceError: As `resolve_compute`.
    """
    with _loading:
        return _load_engine(
            weights,
            sha256,
            device=device,
            precision=precision,
            size=size,
            threads=threads,
            batch_size=batch_size,
            description=description,
        )


def compute_for(engine: Engine, pixels: Pixels, *, callers: int) -> None:
    """Compute a photo with as much memory as so many threads can make an engine take in one pass.

    Raises:
        Exception: As a call of the engine.
    """
    if isinstance(engine, BatchingSegmenter):
        engine.fill(pixels, callers=callers)
    else:
        engine(pixels)


def photos_per_pass(device: torch.device) -> int:
    """Return how many photos a forward pass had best take at most, if the memory suffices.

    On a CPU a batch takes longer than its photos one by one, each in a thread of its own.
    """
    return 1 if device.type == "cpu" else MOST_PHOTOS


def working_size_of(weights: Weights | OnnxWeights, requested: int | None) -> int:
    """Return the working size: the one that `--size` names, or that of the weights.

    Raises:
        ConfigError: One is named, but the network takes pictures of a fixed size only.
    """
    if requested is None:
        return weights.info.size
    if isinstance(weights, OnnxWeights) and weights.description.frame is not None:
        height, width = weights.description.frame
        raise ConfigError(
            f"--size {requested}: {weights.name} takes pictures of {width} x {height} pixels and "
            "no others; leave --size out"
        )
    return requested


@lru_cache(maxsize=2)
def _load_engine(
    name: str,
    sha256: str,
    *,
    device: str,
    precision: Precision,
    size: int,
    threads: int | None,
    batch_size: int | None,
    description: NetworkDescription | None,
) -> Engine:
    resolved, dtype = resolve_compute(name, device=device, precision=precision)
    if description is not None:
        content = read_onnx(name, sha256)
        return _onnx_engine(content, description, size=size, threads=threads)
    weights = load_weights_once(name, sha256)
    if batch_size is None:
        batch_size = photos_per_pass(resolved)
    each_alone = batch_size == 1 and resolved.type == "cpu"
    segmenter = Segmenter(
        weights.network, device=resolved, dtype=dtype, size=size, traced=each_alone
    )
    return segmenter if batch_size == 1 else BatchingSegmenter(segmenter, largest=batch_size)


def _onnx_engine(
    content: bytes, description: NetworkDescription, *, size: int, threads: int | None
) -> OnnxSegmenter:
    session = open_session(content, threads=threads or torch.get_num_threads())
    return OnnxSegmenter(session, description, size=size)
