"""From a network to an ONNX graph, by means of torch's exporter."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import nn

from pipelines.errors import BanetError
from pipelines.onnx_metadata import IMAGE, OUTPUTS

if TYPE_CHECKING:
    import onnx

OPSET = 23
"""The newest that torch writes; ONNX Runtime has run it since 1.23."""

_DYNAMIC = {0: "batch", 2: "height", 3: "width"}
_EXAMPLE = (2, 3, 96, 160)


def trace(network: nn.Module) -> "onnx.ModelProto":
    """Return the graph of a network that takes batches and photos of any size.

    Raises:
        BanetError: torch cannot export it.
    """
    example = torch.zeros(_EXAMPLE)
    with torch.no_grad():
        names = OUTPUTS[: len(network(example))]
    with _silent_exporter():
        try:
            program = torch.onnx.export(
                network,
                (example,),
                input_names=[IMAGE],
                output_names=names,
                opset_version=OPSET,
                dynamic_shapes={IMAGE: _DYNAMIC},
                dynamo=True,
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            reason = str(error).strip().split("\n")[0]
            raise BanetError(f"torch cannot export this network ({reason})") from error
    assert program is not None
    model: onnx.ModelProto = program.model_proto
    _forget_where_it_was_made(model)
    return model


def _forget_where_it_was_made(model: "onnx.ModelProto") -> None:
    """Remove the notes of the exporter: stack traces, with the paths of this machine."""
    for part in (model.graph, *model.graph.node, *model.graph.value_info):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")


@contextmanager
def _silent_exporter() -> Iterator[None]:
    """Hold back what the exporter tells its own developers."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
