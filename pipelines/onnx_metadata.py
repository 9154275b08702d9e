"""What the metadata of an ONNX file says; of an exported one, enough to use it without banet."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipelines import __version__
from pipelines.network_description import UNIT_RANGE, NetworkDescription, Statement
from pipelines.sizes import STRIDE

FORMAT = "banet-onnx-1"
"""Says that input and outputs are as `CONTRACT` has it; another contract needs another number."""

IMAGE = "image"
"""The input: photos (B, 3, H, W), float32, of any size."""

PORTRAIT, BOUNDARY = OUTPUTS = ("portrait", "boundary")
"""The outputs: probabilities (B, 1, H, W). The second is there if the network has such a map."""

CONTRACT: dict[str, object] = {
    "layout": "NCHW",
    "colour_order": "RGB",
    "value_range": [0, 1],
    "mean": [0, 0, 0],
    "deviation": [1, 1, 1],
    "output_activation": "none",
}
"""What is left to do around the graph: nothing to subtract from the input values, nothing to divide
them by, and no function to apply to the outputs, since all of that is part of the graph."""


@dataclass(frozen=True, kw_only=True)
class OnnxInfo:
    """Where a network in an ONNX file comes from, and at which size it works.

    Attributes:
        model: Name in the registry of networks; of a network of others, its own.
        weights_sha256: Of the weights file that was exported; of a network of others, of its file.
        size: Working size: pixels of the longer side of the photo.
        face_prior: `zero` if the network was trained with position and shape channels, which are
            zero in the graph; `none` if it has no such channels.
        licence: Terms of use of the weights.
        training: Free-form facts: data, recipe, iterations, scores.
    """

    model: str
    weights_sha256: str
    size: int
    face_prior: str
    licence: str
    training: dict[str, Any]

    def as_metadata(self) -> dict[str, str]:
        """Return the key-value pairs of the file; what is no text is JSON."""
        facts = {"format": FORMAT, "banet_version": __version__, **CONTRACT, **vars(self)}
        return {
            key: value if isinstance(value, str) else json.dumps(value, sort_keys=True)
            for key, value in facts.items()
        }


def is_exported(metadata: Mapping[str, str]) -> bool:
    """Tell whether the metadata of a file is what `banet export` writes, of any generation."""
    return metadata.get("format", "").startswith(FORMAT.rstrip("0123456789"))


def exported_description(info: OnnxInfo) -> NetworkDescription:
    """Return how an exported network is used, which is what `CONTRACT` says."""
    return NetworkDescription(
        frame=None,
        size=info.size,
        multiple=STRIDE,
        fit="keep",
        layout="NCHW",
        colour_order="RGB",
        value_range=UNIT_RANGE,
        mean=(0, 0, 0),
        deviation=(1, 1, 1),
        output=PORTRAIT,
        output_layout="NCHW",
        output_channel=0,
        output_activation="none",
    )


def foreign_info(statement: Statement, description: NetworkDescription, *, sha256: str) -> OnnxInfo:
    """Return where a network of others comes from, as far as it is stated.

    Args:
        statement: What its metadata and the TOML file beside it say.
        description: How it is used.
        sha256: Of its file.
    """
    return OnnxInfo(
        model=statement.values.get("name", statement.network.stem),
        weights_sha256=sha256,
        size=description.size,
        face_prior="none",
        licence=statement.values.get("licence", ""),
        training={},
    )


def parse_metadata(metadata: Mapping[str, str]) -> OnnxInfo:
    """Read what `as_metadata` wrote.

    Raises:
        ValueError: It is of another format, or damaged; the message is the reason.
    """
    if metadata.get("format") != FORMAT:
        raise ValueError(f"format {metadata.get('format', 'not stated')!r}, expected {FORMAT!r}")
    try:
        return OnnxInfo(
            model=metadata["model"],
            weights_sha256=metadata["weights_sha256"],
            size=int(metadata["size"]),
            face_prior=metadata["face_prior"],
            licence=metadata["licence"],
            training=json.loads(metadata["training"]),
        )
    except KeyError as error:
        raise ValueError(f"{error} is missing") from error
