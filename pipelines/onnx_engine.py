"""Running networks from ONNX files: the only module that knows ONNX Runtime.

ONNX Runtime comes with the extra `onnx`, and is imported when it is needed.
"""

import re
import sys
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from pipelines.devices import is_out_of_memory
from pipelines.errors import ConfigError, PhotoError
from pipelines.face_prior import Face
from pipelines.images import Pixels
from pipelines.network_description import NetworkDescription
from pipelines.network_pictures import (
    Placement,
    network_input,
    output_planes,
    place,
    probability,
)
from pipelines.onnx_graph import INPUT_DTYPES, GraphValue
from pipelines.seen_photo import SeenPhoto
from pipelines.sizes import resize

if TYPE_CHECKING:
    from onnxruntime import InferenceSession, NodeArg

Session: TypeAlias = "InferenceSession"
"""A network that ONNX Runtime has made ready to run."""

LEAST_VERSIONS = {"onnx": "1.18", "onnxruntime": "1.23", "onnxscript": "0.7"}
"""The packages of the extra `onnx`. Earlier ones know nothing of the opset that is exported."""

_ERRORS_ONLY = 3


class OnnxSegmenter:
    """A network in ONNX Runtime, ready to segment photo after photo from several threads.

    Args:
        session: What `open_session` returned.
        description: How the network is used.
        size: Working size: pixels of the longer side of the photo as the network sees it; without
            effect if the description names a fixed size.
    """

    def __init__(self, session: Session, description: NetworkDescription, *, size: int) -> None:
        self.device = torch.device("cpu")
        self.dtype = torch.float32
        self._size = size
        self._session = session
        self._description = description
        (self._image,) = graph_values(session.get_inputs())

    def __call__(self, pixels: Pixels, face: Face | None = None) -> NDArray[np.float32]:
        """Segment RGB pixels (H, W, 3) of any size.

        Args:
            pixels: The photo.
            face: None, since such a network takes the photo alone.

        Returns:
            Probability that a pixel shows a person, (h, w) in [0, 1] over the whole photo, where
            h and w are those of the network's output.

        Raises:
            PhotoError: The network cannot compute a picture of this shape, or what it returned is
                no mask.
            MemoryError: There is too little memory.
        """
        return self.prepare(pixels, face).probability()

    def prepare(self, pixels: Pixels, face: Face | None = None) -> SeenPhoto:
        """Do the first half of a call; see `Engine`."""
        assert face is None
        small, placement = self._small(pixels)
        image = self._input(small, placement)
        return SeenPhoto(small=small, probability=partial(self._segment, image, placement))

    def _segment(self, image: NDArray[np.generic], placement: Placement) -> NDArray[np.float32]:
        output = self._run(image, placement)
        planes = output_planes(output, self._description, batch=self._image.batch)
        return probability(planes, self._description, placement)

    def output_of(self, pixels: Pixels) -> tuple[NDArray[np.floating], Placement]:
        """Return the output that holds the mask, as it comes, and where the photo lies in it.

        Raises:
            PhotoError: The network cannot compute a picture of this shape.
            MemoryError: There is too little memory.
        """
        small, placement = self._small(pixels)
        return self._run(self._input(small, placement), placement), placement

    def _small(self, pixels: Pixels) -> tuple[Pixels, Placement]:
        placement = place(
            self._description,
            height=pixels.shape[0],
            width=pixels.shape[1],
            long_side=self._size,
        )
        _, _, height, width = placement.box
        return resize(pixels, height=height, width=width), placement

    def _input(self, small: Pixels, placement: Placement) -> NDArray[np.generic]:
        return network_input(
            small, self._description, placement, dtype=INPUT_DTYPES[self._image.kind]
        )

    def _run(self, image: NDArray[np.generic], placement: Placement) -> NDArray[np.floating]:
        batch = np.repeat(image, self._image.batch, axis=0) if self._image.batch > 1 else image
        try:
            (output,) = self._session.run([self._description.output], {self._image.name: batch})
        except Exception as error:  # ONNX Runtime has a dozen exceptions, and no base of its own
            if is_out_of_memory(error):
                raise MemoryError(first_line(error)) from error
            height, width = placement.frame
            raise PhotoError(
                f"the network cannot compute a picture of {width} x {height} pixels "
                f"({first_line(error)}); say in its TOML file which it takes"
            ) from error
        return output


def graph_values(nodes: "Sequence[NodeArg]") -> tuple[GraphValue, ...]:
    """Return the inputs or the outputs of a session as plain values."""
    return tuple(
        GraphValue(
            name=node.name,
            kind=node.type,
            # A side that is free has a name, none, or, written by some converters, -1.
            shape=tuple(
                side if isinstance(side, int) and side > 0 else None for side in node.shape
            ),
        )
        for node in nodes
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


def open_session(content: bytes, *, threads: int, optimised: bool = True) -> Session:
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


def first_line(error: Exception) -> str:
    """Return what ONNX Runtime says of an error, without the places in its code below it."""
    return str(error).strip().split("\n")[0]


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
