"""Running exported networks: the only module that knows ONNX Runtime.

It comes with the extra `onnx`, and is imported when it is needed.
"""

import hashlib
import re
import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from pipelines.checkpoints import weights_path
from pipelines.errors import ConfigError, WeightsError
from pipelines.face_prior import Face
from pipelines.images import Pixels, resize, working_size
from pipelines.inference import require_finite
from pipelines.onnx_metadata import IMAGE, PORTRAIT, OnnxInfo, parse_metadata

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

LEAST_VERSIONS = {"onnx": "1.18", "onnxruntime": "1.23", "onnxscript": "0.7"}
"""The packages of the extra `onnx`. Earlier ones know nothing of the opset that is exported."""

_ERRORS_ONLY = 3


@dataclass(frozen=True, kw_only=True)
class OnnxWeights:
    """A file that `banet export` wrote.

    Attributes:
        name: How the user named it, for reports.
        sha256: Of the file.
        content: Of the file.
    """

    name: str
    sha256: str
    info: OnnxInfo
    content: bytes


class OnnxSegmenter:
    """A network in ONNX Runtime, ready to segment photo after photo from several threads.

    Args:
        weights: The exported network.
        size: Working size: pixels of the longer side of the photo as the network sees it.
        threads: As for `open_session`.

    Raises:
        ConfigError: ONNX Runtime is not installed.
    """

    def __init__(self, weights: OnnxWeights, *, size: int, threads: int) -> None:
        self.device = torch.device("cpu")
        self.dtype = torch.float32
        self._size = size
        self._session = open_session(weights.content, threads=threads)

    def __call__(self, pixels: Pixels, face: Face | None = None) -> NDArray[np.float32]:
        """Segment RGB pixels (H, W, 3) of any size.

        Args:
            pixels: The photo.
            face: None, since an exported network takes the photo alone.

        Returns:
            Probability that a pixel shows a person, (h, w) in [0, 1], where h and w are those of
            `working_size`.

        Raises:
            PhotoError: What came out are no numbers.
        """
        assert face is None
        height, width = working_size(
            height=pixels.shape[0], width=pixels.shape[1], long_side=self._size
        )
        small = resize(pixels, height=height, width=width)
        image = small.transpose(2, 0, 1)[np.newaxis].astype(np.float32, order="C") / 255
        probability: NDArray[np.float32]
        (probability,) = self._session.run([PORTRAIT], {IMAGE: image})
        return require_finite(probability[0, 0])


def load_onnx(name: str) -> OnnxWeights:
    """Read a file that `banet export` wrote.

    Raises:
        ConfigError: ONNX Runtime is not installed, or too old.
        WeightsError: The file is missing, cannot be read, is damaged, or was not written by
            `banet export`.
    """
    path = weights_path(name, wanted="an .onnx file that `banet export` wrote")
    require("onnxruntime")
    content = _read(path)
    try:
        session = open_session(content, threads=1, optimised=False)
        metadata = session.get_modelmeta().custom_metadata_map
    except MemoryError:
        raise
    except Exception as error:  # ONNX Runtime has a dozen exceptions, and no base of its own
        raise WeightsError(
            f"{path}: not an ONNX file, or a damaged one ({_first_line(error)}); copy it again "
            "from where it came"
        ) from error
    try:
        info = parse_metadata(metadata)
    except ValueError as error:
        raise WeightsError(
            f"{path}: not written by `banet export` of this generation ({error}); export its "
            "weights again"
        ) from error
    return OnnxWeights(
        name=name, sha256=hashlib.sha256(content).hexdigest(), info=info, content=content
    )


def require(*packages: str) -> None:
    """Make sure that packages of the extra `onnx` are there.

    Raises:
        ConfigError: Some cannot be imported, or are too old.
    """
    mistakes = {package: mistake for package in packages if (mistake := _mistake_of(package))}
    if mistakes:
        # Their own names: what PyPI knows as banet is another project.
        wanted = " ".join(f'"{package}>={LEAST_VERSIONS[package]}"' for package in mistakes)
        raise ConfigError(
            f"ONNX files need packages that are not installed here, or too old "
            f"({'; '.join(mistakes.values())}); add them with "
            f"{sys.executable} -m pip install {wanted}"
        )


def open_session(content: bytes, *, threads: int, optimised: bool = True) -> "InferenceSession":
    """Make a network of an ONNX file's content ready to run on the CPU.

    Args:
        content: Of the file. A file that keeps its numbers in further files is refused.
        threads: That one run may use, the calling one among them. Threads that share a session
            share all of these but themselves.
        optimised: Whether the graph is to be made fast, which takes time and memory.

    Raises:
        ConfigError: ONNX Runtime is not installed, or too old.
        Exception: Whatever ONNX Runtime makes of content that is no such file.
    """
    require("onnxruntime")
    import onnxruntime

    onnxruntime.disable_telemetry_events()  # which Windows builds would send
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Else it would keep a plan of the memory for every shape of photo that it ever saw.
    options.enable_mem_pattern = False
    if not optimised:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    # Threads that wait for work by spinning take the cores from those that decode and encode.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = _ERRORS_ONLY
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def _mistake_of(package: str) -> str | None:
    """Return what is wrong with an installed package, or that there is none."""
    try:
        version = import_module(package).__version__
    except ImportError as error:
        return f"{package}: {error}"
    least = LEAST_VERSIONS[package]
    return f"{package}: {version}, not {least}" if _release(version) < _release(least) else None


def _release(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:2])


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise WeightsError(
            f"{path}: cannot be read ({error.strerror or error}); mend its permissions, or copy "
            "it to another place"
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]
