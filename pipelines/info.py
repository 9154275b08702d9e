"""`banet info`: versions, devices, codecs and weights."""

import os
import platform
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from functools import cache
from importlib.metadata import PackageNotFoundError, version

import torch
from PIL import features

from pipelines import __version__
from pipelines.checkpoints import SHIPPED_WEIGHTS, Weights, load_weights
from pipelines.devices import precision_name, resolve_device, resolve_precision
from pipelines.engines import load_network
from pipelines.errors import WeightsError
from pipelines.images import PHOTO_EXTENSIONS
from pipelines.onnx_weights import OnnxWeights

PACKAGES = (
    "dask",
    "distributed",
    "numpy",
    "opencv-python-headless",
    "pillow",
    "safetensors",
    "simplejpeg",
    "torch",
    "typer",
    "zarr",
)
OPTIONAL_PACKAGES = ("onnx", "onnxruntime", "onnxscript", "pillow-heif")
CODECS = ("jpg", "libjpeg_turbo", "webp", "avif", "libtiff", "jpg_2000", "littlecms2")


def describe_installation(weights: tuple[str, ...] = ()) -> dict[str, object]:
    """Return what a bug report needs, ready for JSON.

    Args:
        weights: Further ones to describe beside those that are shipped. Of ONNX files `use` says
            how they are used.

    Raises:
        BanetError: Some of them cannot be used.
    """
    networks = [load_network(name) for name in weights]
    use = {
        network.name: asdict(network.description)
        for network in networks
        if isinstance(network, OnnxWeights)
    }
    return {
        "versions": versions(),
        "devices": devices(),
        "photos": " ".join(sorted(PHOTO_EXTENSIONS)),
        "codecs": {name: _codec(name) for name in CODECS},
        "weights": [
            *(shipped_weights(name) for name in SHIPPED_WEIGHTS),
            *(_facts(network) for network in networks),
        ],
        **({"use": use} if use else {}),
    }


@cache
def versions() -> Mapping[str, str]:
    """Return the versions of banet, Python, the system and the packages that matter.

    Those of the extras are left out where they are not installed.
    """
    found = {
        "banet": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        **{name: version(name) for name in PACKAGES},
    }
    for name in OPTIONAL_PACKAGES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def devices() -> list[dict[str, object]]:
    """Return what `--device` can name here, with the precision that `auto` takes on each."""
    names = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        names.append("mps")
    return [_device(name) for name in names]


def shipped_weights(name: str) -> dict[str, object]:
    """Return the facts about weights of this package, or why they cannot be used."""
    try:
        weights = load_weights(name)
    except WeightsError as error:
        return {"name": name, "error": str(error)}
    return _facts(weights)


def _facts(weights: Weights | OnnxWeights) -> dict[str, object]:
    return {
        "name": weights.name,
        "model": weights.info.model,
        "size": weights.info.size,
        "sha256": weights.sha256,
        "licence": weights.info.licence or "not stated",
    }


def _device(name: str) -> dict[str, object]:
    device = resolve_device(name)
    description = f"{os.cpu_count()} cores" if name == "cpu" else name
    if device.type == "cuda":
        description = torch.cuda.get_device_name(device)
    precision = precision_name(resolve_precision("auto", device))
    return {"device": name, "description": description, "precision": precision}


def _codec(name: str) -> str:
    return str(features.version(name) or features.check(name))
