"""ONNX files as others make them: networks whose right mask is known."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import tomli_w
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from pipelines.onnx_metadata import CONTRACT

PERSON = (230, 90, 30)
"""The colour, RGB, that the networks take for a person, and no other: not its mirror image BGR."""

TOLERANCE = 20 / 255

AXES_ARE_AN_INPUT = 18
"""The opset from which on ReduceMax gets its axes as an input."""

KINDS = {"float32": TensorProto.FLOAT, "float16": TensorProto.FLOAT16, "uint8": TensorProto.UINT8}

NORMAL: dict[str, Any] = {"size": [128, 96], "fit": "stretch", **CONTRACT}
"""The TOML file of a `Network` whose fields have their defaults: as in files that banet exports,
nothing is left to do around the graph."""

OPEN_SIDES = ("batch", 3, "height", "width")
"""The shape of an input for pictures of any size."""

OPEN = {"size": 96, "multiple": 32, "fit": "keep"}
"""What the TOML file of such a network has beside, or in place of, `NORMAL`."""

IMAGENET = {"mean": [0.485, 0.456, 0.406], "deviation": [0.229, 0.224, 0.225]}


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network that recognises `PERSON` if, and only if, it is used as it wants to be.

    Attributes:
        shape: Of the input.
        top: Greatest value before mean and deviation.
        activation: What it leaves to be done.
        decoys: Further outputs, in front of the right one, that say the opposite.
        scale: Size of the output relative to that of the input.
        inputs: How many it claims to have.
        needs: What the sides of a picture must be multiples of.
    """

    shape: tuple[int | str | None, ...] = (1, 3, 128, 96)
    layout: str = "NCHW"
    dtype: str = "float32"
    colour_order: str = "RGB"
    top: float = 1.0
    mean: Sequence[float] = (0, 0, 0)
    deviation: Sequence[float] = (1, 1, 1)
    activation: str = "none"
    decoys: int = 0
    scale: float = 1.0
    opset: int = 17
    inputs: int = 1
    needs: int = 1
    metadata: tuple[tuple[str, str], ...] = ()

    def write(self, path: Path, **toml: Any) -> str:
        """Write the ONNX file, and the TOML file beside it if there is anything in it."""
        onnx.save(self._model(), path)
        if toml:
            path.with_suffix(".toml").write_text(tomli_w.dumps(toml))
        return str(path)

    def _model(self) -> onnx.ModelProto:
        axis = 1 if self.layout == "NCHW" else 3
        order = slice(None, None, 1 if self.colour_order == "RGB" else -1)
        per_channel = (1, 3, 1, 1) if axis == 1 else (1, 1, 1, 3)
        constants: dict[str, Any] = {
            "deviation": np.reshape(self.deviation, per_channel),
            "mean": np.reshape(self.mean, per_channel),
            "top": np.array(self.top),
            "colour": np.reshape(PERSON[order], per_channel) / 255,
            "tolerance": np.array(TOLERANCE),
            "one": np.array(1),
            "gain": np.array({"sigmoid": 20, "softmax": 20, "min-max": 3}.get(self.activation, 1)),
            "offset": np.array({"sigmoid": -10, "softmax": -10}.get(self.activation, 0)),
            "scales": np.array([1, 1, self.scale, self.scale]),
        }
        if axis == 3:
            constants["scales"] = np.array([1, self.scale, self.scale, 1])
        weights = [
            numpy_helper.from_array(np.asarray(value, np.float32), name)
            for name, value in constants.items()
        ]
        reduced: dict[str, Any] = {"axes": [axis]}
        axes = []
        if self.opset >= AXES_ARE_AN_INPUT:
            weights.append(numpy_helper.from_array(np.array([axis]), "axes"))
            reduced, axes = {}, ["axes"]
        nodes = [
            helper.make_node("Cast", ["image"], ["numbers"], to=TensorProto.FLOAT),
            *self._blocks(),
            helper.make_node("Mul", ["whole", "deviation"], ["scaled"]),
            helper.make_node("Add", ["scaled", "mean"], ["values"]),
            helper.make_node("Div", ["values", "top"], ["unit"]),
            helper.make_node("Sub", ["unit", "colour"], ["difference"]),
            helper.make_node("Abs", ["difference"], ["distance"]),
            helper.make_node("ReduceMax", ["distance", *axes], ["farthest"], keepdims=1, **reduced),
            helper.make_node("Less", ["farthest", "tolerance"], ["is_person"]),
            helper.make_node("Cast", ["is_person"], ["small"], to=TensorProto.FLOAT),
            self._resize(),
            helper.make_node("Mul", ["person", "gain"], ["larger"]),
            helper.make_node("Add", ["larger", "offset"], ["activated"]),
            *self._last_nodes(axis),
            *(
                helper.make_node("Sub", ["one", "person"], [f"side_{index}"])
                for index in range(self.decoys)
            ),
        ]
        outputs = [*(f"side_{index}" for index in range(self.decoys)), "mask"]
        kind = TensorProto.FLOAT16 if self.dtype == "float16" else TensorProto.FLOAT
        graph = helper.make_graph(
            nodes,
            "foreign",
            [
                helper.make_tensor_value_info(name, KINDS[self.dtype], self.shape)
                for name in ("image", "trimap", "memory")[: self.inputs]
            ],
            [
                helper.make_tensor_value_info(
                    name, kind if name == "mask" else TensorProto.FLOAT, None
                )
                for name in outputs
            ],
            weights,
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8
        )
        helper.set_model_props(model, dict(self.metadata))
        return model

    def _blocks(self) -> list[onnx.NodeProto]:
        """Return what fails where the sides are no multiples of what the network needs."""
        if self.needs == 1:
            return [helper.make_node("Identity", ["numbers"], ["whole"])]
        return [
            helper.make_node("SpaceToDepth", ["numbers"], ["blocks"], blocksize=self.needs),
            helper.make_node("DepthToSpace", ["blocks"], ["whole"], blocksize=self.needs),
        ]

    def _resize(self) -> onnx.NodeProto:
        if self.scale == 1:
            return helper.make_node("Identity", ["small"], ["person"])
        return helper.make_node("Resize", ["small", "", "scales"], ["person"], mode="linear")

    def _last_nodes(self, axis: int) -> list[onnx.NodeProto]:
        kind = TensorProto.FLOAT16 if self.dtype == "float16" else TensorProto.FLOAT
        if self.activation != "softmax":
            return [helper.make_node("Cast", ["activated"], ["mask"], to=kind)]
        return [
            helper.make_node("Neg", ["activated"], ["background"]),
            helper.make_node("Concat", ["background", "activated"], ["mask"], axis=axis),
        ]


def draw(*, height: int, width: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return a photo of somebody left of the middle and near the top, and the right mask."""
    photo = np.full((height, width, 3), (40, 160, 60), np.uint8)
    mask = np.zeros((height, width), np.bool_)
    mask[height // 8 : height * 5 // 8, width // 6 : width // 2] = True
    photo[mask] = PERSON
    return photo, mask


def without(*keys: str, **changes: Any) -> dict[str, Any]:
    """Return the usual TOML file without some keys and with others."""
    return {key: value for key, value in {**NORMAL, **changes}.items() if key not in keys}
