"""Networks as ONNX files: those of `banet export`, and those of others with a description."""

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from pipelines.checkpoints import refuse_other_file, weights_path
from pipelines.devices import memory_limit_explained
from pipelines.errors import ConfigError, PhotoError, WeightsError
from pipelines.network_description import NetworkDescription, Statement, read_statement
from pipelines.network_pictures import output_planes, probability
from pipelines.onnx_engine import (
    OnnxSegmenter,
    Session,
    first_line,
    graph_values,
    open_session,
    require,
)
from pipelines.onnx_graph import describe, refuse_other_planes, the_image
from pipelines.onnx_metadata import (
    OnnxInfo,
    exported_description,
    foreign_info,
    is_exported,
    parse_metadata,
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class OnnxWeights:
    """A file that `banet export` wrote, or one of others with a description.

    Attributes:
        name: How the user named it, for reports.
        sha256: Of the file.
        info: Where the network comes from.
        description: How it is used.
        content: Of the file.
    """

    name: str
    sha256: str
    info: OnnxInfo
    description: NetworkDescription
    content: bytes


def load_onnx(name: str) -> OnnxWeights:
    """Read a file that `banet export` wrote, or one of others that it is known how to use.

    A network of others computes a picture of noise before it is trusted.

    Raises:
        ConfigError: ONNX Runtime is not installed, or too old; or it is not stated, or stated
            wrongly, how the network is used.
        WeightsError: The file is missing, cannot be read, is damaged, or holds no network with one
            picture in and a mask out.
    """
    path = weights_path(name, wanted="an .onnx file")
    require("onnxruntime")
    content = _read(path)
    session = _examined(content, path)
    metadata = session.get_modelmeta().custom_metadata_map
    sha256 = hashlib.sha256(content).hexdigest()
    if is_exported(metadata):
        try:
            info = parse_metadata(metadata)
        except ValueError as error:
            raise WeightsError(
                f"{path}: not written by `banet export` of this generation ({error}); export its "
                "weights again"
            ) from error
        description = exported_description(info)
        _warn_of_needless_toml(path)
    else:
        statement = read_statement(path, metadata)
        description = _described(session, statement)
        info = foreign_info(statement, description, sha256=sha256)
        logger.info("%s: network %s, licence: %s", name, info.model, info.licence or "not stated")
    return OnnxWeights(
        name=name, sha256=sha256, info=info, description=description, content=content
    )


def read_onnx(name: str, sha256: str) -> bytes:
    """Read the file of a network whose description is known already.

    Raises:
        ConfigError: ONNX Runtime is not installed, or too old.
        WeightsError: The file cannot be read, or is not the one whose hash is `sha256`.
    """
    require("onnxruntime")
    content = _read(weights_path(name, wanted="an .onnx file"))
    refuse_other_file(name, sha256, found=hashlib.sha256(content).hexdigest())
    return content


def _examined(content: bytes, path: Path) -> Session:
    """Return a session for looking at a file, which may be anything.

    Raises:
        WeightsError: It is no ONNX file that ONNX Runtime can compute.
    """
    try:
        return open_session(content, threads=torch.get_num_threads(), optimised=False)
    except MemoryError:
        raise
    except Exception as error:  # ONNX Runtime has a dozen exceptions, and no base of its own
        reason = first_line(error)
        if "External data" in reason:
            raise WeightsError(
                f"{path}: keeps its numbers in further files ({reason}); make one file of them "
                "with onnx.save(onnx.load(FILE), OTHER)"
            ) from error
        raise WeightsError(
            f"{path}: not an ONNX file, a damaged one, or one that ONNX Runtime cannot compute "
            f"({reason}); copy it again from where it came"
        ) from error


def _described(session: Session, statement: Statement) -> NetworkDescription:
    """Return how a network of others is used, after it has computed a picture.

    Raises:
        ConfigError: That is not stated, or stated wrongly.
        WeightsError: Its graph has not one picture in, or no mask out.
    """
    image = the_image(graph_values(session.get_inputs()), path=statement.network)
    description = describe(statement, image, graph_values(session.get_outputs()))
    if image.batch > 1:
        logger.warning(
            "%s: computes %d photos at once and gets one, %d times over; a file with a free batch "
            "would be as many times faster",
            statement.network,
            image.batch,
            image.batch,
        )
    # Not square, so that axes that are taken for each other are noticed.
    noise = np.random.default_rng(0).integers(0, 256, (64, 48, 3), np.uint8)
    segmenter = OnnxSegmenter(session, description, size=description.size)
    try:
        with memory_limit_explained(
            f"{statement.network}: not enough memory for a picture; state a smaller size in "
            f"{statement.toml}, if the file takes others, or use a machine with more of it"
        ):
            output, placement = segmenter.output_of(noise)
        planes = output_planes(output, description, batch=image.batch)
        refuse_other_planes(planes.shape, description, statement, placement)
        probability(planes, description, placement)
    except (PhotoError, ValueError) as error:
        raise ConfigError(
            f"{statement.network}: {error}; correct what {statement.toml} says of it"
        ) from error
    return description


def _warn_of_needless_toml(path: Path) -> None:
    toml = path.with_suffix(".toml")
    if toml.exists():
        logger.warning("%s is not read: %s itself says how it is used", toml, path)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise WeightsError(
            f"{path}: cannot be read ({error.strerror or error}); mend its permissions, or copy "
            "it to another place"
        ) from error
