"""What the graph of an ONNX file says about its use, put together with what is stated about it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from pipelines.errors import ConfigError, WeightsError
from pipelines.network_description import (
    BYTE_RANGE,
    RULES,
    Layout,
    NetworkDescription,
    Statement,
    Triple,
)
from pipelines.network_pictures import Placement

CHANNELS = 3
"""Of a photo."""

CHANNEL_AXIS: dict[Layout, int] = {"NCHW": 1, "NHWC": 3}
SIDE_AXES: dict[Layout, tuple[int, int]] = {"NCHW": (2, 3), "NHWC": (1, 2)}

INPUT_DTYPES = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(uint8)": "uint8"}
OUTPUT_DTYPES = frozenset({"tensor(float)", "tensor(float16)", "tensor(double)"})

Sides = tuple[int | None, int | None]


@dataclass(frozen=True, kw_only=True)
class GraphValue:
    """An input or an output of a graph.

    Attributes:
        kind: As ONNX Runtime names it, `tensor(float)` for instance.
        shape: None for axes of any length; of some outputs it is not known, and empty.
    """

    name: str
    kind: str
    shape: tuple[int | None, ...]

    @property
    def batch(self) -> int:
        """How many pictures the graph takes at once; 1 if that is free."""
        return self.shape[0] or 1


def the_image(inputs: Sequence[GraphValue], *, path: Path) -> GraphValue:
    """Return the one input of a network that takes a picture.

    Raises:
        WeightsError: There are several, or it can be no picture.
    """
    if len(inputs) != 1:
        names = ", ".join(value.name for value in inputs)
        raise WeightsError(
            f"{path}: takes {len(inputs)} inputs ({names}); only networks that take one picture "
            "and nothing else can be used"
        )
    (image,) = inputs
    if image.kind not in INPUT_DTYPES:
        raise WeightsError(
            f"{path}: its input {image.name} is {image.kind}; only networks that take "
            f"{', '.join(INPUT_DTYPES.values())} can be used"
        )
    if len(image.shape) != len("NCHW") or not _possible_layouts(image):
        raise WeightsError(
            f"{path}: its input {image.name} has the shape {_shape_text(image)}; only networks "
            "that take photos of 3 channels, (B, 3, H, W) or (B, H, W, 3), can be used"
        )
    return image


def describe(
    statement: Statement, image: GraphValue, outputs: Sequence[GraphValue]
) -> NetworkDescription:
    """Put together what the graph says and what is stated; nothing is guessed.

    Args:
        statement: What metadata and TOML file say.
        image: The input.
        outputs: All of them.

    Raises:
        ConfigError: Something is neither in the graph nor stated, or the two contradict each
            other; all such keys are named.
        WeightsError: The output that holds the mask is no plane of numbers.
    """
    draft = _Draft(statement)
    layout: Layout | None = draft.take("layout", read=_known_layout(image))
    if layout is not None and layout not in _possible_layouts(image):
        draft.mistakes.append(f"layout = {layout!r}: the input is {_shape_text(image)}")
        layout = None
    sides = _sides(image, layout)
    frame, size = draft.take_size(sides)
    is_open = frame is None and size is not None
    colour_order = draft.take("colour_order")
    is_bytes = INPUT_DTYPES[image.kind] == "uint8"
    value_range = draft.take("value_range", read=list(BYTE_RANGE) if is_bytes else None)
    mean = draft.take("mean", read=[0, 0, 0] if is_bytes else None)
    deviation = draft.take("deviation", read=[1, 1, 1] if is_bytes else None)
    names = [value.name for value in outputs]
    output = draft.take(
        "output", read=names[0] if len(names) == 1 else None, meaning=f"one of {', '.join(names)}"
    )
    if output is not None and output not in names:
        draft.mistakes.append(f"output = {output!r}: must be one of {', '.join(names)}")
    multiple, fit = draft.take_fit(is_open=is_open, is_known=size is not None)
    activation = draft.take("output_activation")
    draft.finish()
    _refuse_other_kind(next(value for value in outputs if value.name == output), statement)
    assert layout is not None
    assert size is not None
    return NetworkDescription(
        frame=frame,
        size=size,
        multiple=multiple,
        fit=fit,
        layout=layout,
        colour_order=colour_order,
        value_range=(value_range[0], value_range[1]),
        mean=_triple(mean),
        deviation=_triple(deviation),
        output=output,
        output_layout=statement.values.get("output_layout", layout),
        output_channel=statement.values.get("output_channel", 0),
        output_activation=activation,
    )


def refuse_other_planes(
    shape: tuple[int, ...],
    description: NetworkDescription,
    statement: Statement,
    placement: Placement,
) -> None:
    """Make sure that what a network returned for a picture is the mask that was described.

    Args:
        shape: Channels, height and width of the output.
        description: Of the network.
        statement: That led to it.
        placement: Of the picture that the network saw.

    Raises:
        ConfigError: It is not; what is to be written instead is named.
    """
    channels, height, width = shape
    where = f"{statement.network}: its output {description.output}"
    last = channels - 1
    frame_height, frame_width = placement.frame
    if abs(height - width * frame_height / frame_width) > 1:
        raise ConfigError(
            f"{where} has {channels} channels of {width} x {height} pixels for a picture of "
            f"{frame_width} x {frame_height}; if its axes are in another order than those of the "
            f"input, write output_layout into {statement.toml}, or name another output there"
        )
    if channels > 1 and "output_channel" not in statement.values:
        raise ConfigError(
            f"{where} has {channels} channels; write the one that holds the mask, from 0 to "
            f"{last}, as output_channel into {statement.toml}"
        )
    if description.output_channel > last:
        raise ConfigError(
            f"{where} has the channels 0 to {last}; output_channel = "
            f"{description.output_channel} in {statement.toml} is none of them"
        )
    if description.output_activation == "softmax" and channels == 1:
        raise ConfigError(
            f"{where} has one channel, of which softmax makes 1 everywhere; write another "
            f"output_activation into {statement.toml}"
        )


class _Draft:
    """Collects what is known key by key, and what is missing or contradictory."""

    def __init__(self, statement: Statement) -> None:
        self.mistakes: list[str] = []
        self._statement = statement
        self._missing: list[str] = []

    def take(self, key: str, *, read: Any = None, meaning: str | None = None) -> Any:
        """Return the value of a key.

        Args:
            key: Of the TOML file.
            read: What the graph says; None if it says nothing.
            meaning: What is to be written, if that is not the rule of the key.
        """
        stated = self._statement.values.get(key)
        if stated is None:
            if read is None:
                self._missing.append(f"{key} ({meaning or RULES[key].meaning})")
            return read
        if read is not None and stated != read and key != "output":
            self.mistakes.append(f"{key} = {stated!r}: the graph says {read!r}")
        return stated

    def take_size(self, sides: Sides) -> tuple[tuple[int, int] | None, int | None]:
        """Return the frame, None if the sides are free, and the working size, None if not known."""
        stated = self._statement.values.get("size")
        height, width = sides
        if height is not None and width is not None:
            frame = height, width
            if stated is not None and stated not in (list(frame), max(frame)):
                self.mistakes.append(f"size = {stated!r}: the graph says {list(frame)!r}")
            return frame, max(frame)
        if isinstance(stated, list):
            if any(side not in {None, own} for own, side in zip(stated, sides, strict=True)):
                self.mistakes.append(f"size = {stated!r}: the graph says {_sides_text(sides)}")
            return (stated[0], stated[1]), max(stated)
        if sides != (None, None) or stated is None:
            one_is_fixed = f"[height, width], of which the graph says {_sides_text(sides)}"
            self.take("size", meaning=None if sides == (None, None) else one_is_fixed)
            if stated is not None:
                self.mistakes.append(f"size = {stated!r}: must be {one_is_fixed}")
            return None, None
        return None, stated

    def take_fit(self, *, is_open: bool, is_known: bool) -> tuple[int, Any]:
        """Return the multiple of the sides and how a photo is fitted."""
        if not is_known:  # a matter of the size, which is asked for first
            return 1, None
        if is_open:
            return self.take("multiple"), self.take("fit", read="keep")
        if "multiple" in self._statement.values:
            self.mistakes.append("multiple: means nothing for a picture of fixed size; remove it")
        fit = self.take("fit", meaning='"letterbox" or "stretch"')
        if fit == "keep":
            self.mistakes.append(
                'fit = "keep": a picture of fixed size needs "letterbox" or "stretch"'
            )
        return 1, fit

    def finish(self) -> None:
        """Say what is missing or wrong.

        Raises:
            ConfigError: Anything is.
        """
        network, toml = self._statement.network, self._statement.toml
        mistakes = list(self.mistakes)
        if self._missing:
            mistakes.append(
                f"its graph and metadata leave open how it is to be used; write into {toml}: "
                f"{', '.join(self._missing)}"
            )
        if mistakes:
            raise ConfigError(f"{network} with {toml.name}: {'; '.join(mistakes)}")


def _possible_layouts(image: GraphValue) -> list[Layout]:
    return [
        layout
        for layout in get_args(Layout)
        if image.shape[CHANNEL_AXIS[layout]] in {CHANNELS, None}
    ]


def _known_layout(image: GraphValue) -> Layout | None:
    """Return the layout whose channels are three, or may be where the other's cannot."""
    possible = _possible_layouts(image)
    surely = [layout for layout in possible if image.shape[CHANNEL_AXIS[layout]] == CHANNELS]
    candidates = surely or possible
    return candidates[0] if len(candidates) == 1 else None


def _sides(image: GraphValue, layout: Layout | None) -> Sides:
    if layout is None:
        return None, None
    height, width = (image.shape[axis] for axis in SIDE_AXES[layout])
    return height, width


def _refuse_other_kind(output: GraphValue, statement: Statement) -> None:
    if output.kind not in OUTPUT_DTYPES:
        raise WeightsError(
            f"{statement.network}: its output {output.name} is {output.kind}, no probabilities "
            f"or values before their activation; name another output in {statement.toml}"
        )


def _triple(values: Sequence[float]) -> Triple:
    first, second, third = map(float, values)
    return first, second, third


def _shape_text(value: GraphValue) -> str:
    return " x ".join("?" if side is None else str(side) for side in value.shape) or "not known"


def _sides_text(sides: Sides) -> str:
    return f"[{', '.join('any' if side is None else str(side) for side in sides)}]"
