"""Weights files: safetensors whose metadata says how they are to be used.

No class is pickled, so a file holds nothing but numbers and text, and no module path.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from models import MODELS, build_model
from pipelines.errors import WeightsError
from pipelines.whole_files import write_atomically

FORMAT = "banet-weights-1"
SHIPPED_WEIGHTS = ("banet-64",)
"""Names that `--weights` takes for files inside this package."""

_METADATA_KEY = "banet"


@dataclass(frozen=True, kw_only=True)
class WeightsInfo:
    """What the metadata of a weights file says.

    Attributes:
        model: Name in the registry of networks.
        temperature: T of Eq. 2 that the weights were trained with; None for a network without
            boundary attention.
        size: Working size: pixels of the longer side of the photo as the network sees it.
        training: Free-form facts: data, recipe, iterations, scores.
        licence: Terms of use of the weights.
    """

    model: str
    temperature: float | None
    size: int
    training: dict[str, object] = field(default_factory=dict)
    licence: str = ""


@dataclass(frozen=True, kw_only=True)
class Weights:
    """A network with its learned parameters, in eval mode, on the CPU, in float32.

    Attributes:
        name: How the user named it, for reports.
        sha256: Of the file.
    """

    name: str
    sha256: str
    info: WeightsInfo
    network: nn.Module


def weights_path(name_or_path: str, *, wanted: str = "a .safetensors file") -> Path:
    """Find the file that `--weights` names: one that ships with banet, or any other.

    Args:
        name_or_path: What the user wrote.
        wanted: What to name where there is no such file.

    Raises:
        WeightsError: There is no such file.
    """
    if name_or_path in SHIPPED_WEIGHTS:
        path = Path(str(files("models"))) / "weights" / f"{name_or_path}.safetensors"
    else:
        path = Path(name_or_path)
    if not path.is_file():
        raise WeightsError(
            f"{name_or_path}: there is no file {path}; name {wanted} or one of "
            f"the shipped weights: {', '.join(SHIPPED_WEIGHTS)}"
        )
    return path


def load_weights(name_or_path: str) -> Weights:
    """Read a weights file and build its network.

    Raises:
        WeightsError: The file is missing, damaged, not written by banet, or of a network that
            this version does not know or builds differently.
    """
    path = weights_path(name_or_path)
    info, tensors = _read(path)
    if info.model not in MODELS:
        raise WeightsError(
            f"{path}: weights of the network {info.model!r}, which this version of banet does "
            f"not have (it has {', '.join(MODELS)}); a newer version may"
        )
    overrides = {} if info.temperature is None else {"temperature": info.temperature}
    network = build_model(info.model, **overrides)
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise WeightsError(
            f"{path}: the weights do not fit the network {info.model!r} of this version; train "
            f"them again or use the version that wrote them ({_first_line(error)})"
        ) from error
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return Weights(name=name_or_path, sha256=sha256, info=info, network=network.eval())


@lru_cache(maxsize=2)
def load_weights_once(name_or_path: str, sha256: str) -> Weights:
    """Read a weights file once per process, for workers that get its name with every task.

    Raises:
        WeightsError: As `load_weights`, or the file is not the one whose hash is `sha256`.
    """
    weights = load_weights(name_or_path)
    refuse_other_file(name_or_path, sha256, found=weights.sha256)
    return weights


def refuse_other_file(name_or_path: str, sha256: str, *, found: str) -> None:
    """Make sure that a worker has the weights that the run was started with.

    Raises:
        WeightsError: The hash that was found is not `sha256`.
    """
    if found != sha256:
        raise WeightsError(
            f"--weights {name_or_path}: this machine has another file of that name than the one "
            "that started the run; copy the same file to every worker"
        )


def save_weights(path: Path, network: nn.Module, info: WeightsInfo) -> None:
    """Write the parameters and buffers of `network` with their metadata, atomically."""
    tensors = {
        name: tensor.detach()
        .to("cpu", torch.float32 if tensor.is_floating_point() else None)
        .contiguous()
        for name, tensor in network.state_dict().items()
    }
    metadata = {"format": FORMAT, _METADATA_KEY: json.dumps(asdict(info), sort_keys=True)}
    write_atomically(path, save(tensors, metadata))


def _read(path: Path) -> tuple[WeightsInfo, dict[str, torch.Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise WeightsError(
            f"{path}: not a safetensors file, or a damaged one ({_first_line(error)}); copy it "
            "again from where it came"
        ) from error
    if metadata.get("format") != FORMAT:
        raise WeightsError(
            f"{path}: not written by this generation of banet (format "
            f"{metadata.get('format', 'not stated')!r}, expected {FORMAT!r})"
        )
    try:
        return WeightsInfo(**json.loads(metadata[_METADATA_KEY])), tensors
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(
            f"{path}: its metadata is damaged ({_first_line(error)}); copy it again from where it "
            "came"
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]
