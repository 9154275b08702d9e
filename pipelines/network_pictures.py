"""From photos to what a network takes, and from what it returns to probabilities."""

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray

from pipelines.affine import compose, invert, resizing, shift
from pipelines.errors import PhotoError
from pipelines.images import Pixels
from pipelines.inference import require_finite
from pipelines.network_description import UNIT_RANGE, NetworkDescription
from pipelines.sizes import fitted_size, working_size

OVERSHOOT = 0.5
"""Values so far outside of [0, 1] are cut off, as those that a bicubic resize in a graph leaves;
what lies farther out is no probability."""


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where a photo lies in the picture that a network sees.

    Attributes:
        frame: Height and width of that picture.
        box: y, x, height and width of the photo in it.
    """

    frame: tuple[int, int]
    box: tuple[int, int, int, int]


def place(description: NetworkDescription, *, height: int, width: int, long_side: int) -> Placement:
    """Return where a photo (height, width) lies in the picture that a network sees.

    Args:
        description: Of the network.
        height: Of the photo.
        width: Of the photo.
        long_side: Working size; without effect if the picture's size is fixed.
    """
    if description.frame is None:
        frame = working_size(
            height=height, width=width, long_side=long_side, multiple=description.multiple
        )
        return Placement(frame=frame, box=(0, 0, *frame))
    frame = description.frame
    if description.fit == "stretch":
        return Placement(frame=frame, box=(0, 0, *frame))
    scale = min(frame[0] / height, frame[1] / width)
    inner = fitted_size(height=height, width=width, long_side=scale * max(height, width))
    y, x = ((outside - inside) // 2 for outside, inside in zip(frame, inner, strict=True))
    return Placement(frame=frame, box=(y, x, *inner))


def network_input(
    small: Pixels, description: NetworkDescription, placement: Placement, *, dtype: DTypeLike
) -> NDArray[np.generic]:
    """Turn a photo into what a network takes, a batch of one, (1, 3, h, w) or so.

    Args:
        small: RGB, at the height and width that it has in the network's picture.
        description: Of the network.
        placement: Of the photo in that picture.
        dtype: Of the result.
    """
    y, x, height, width = placement.box
    seen = small
    if (height, width) != placement.frame:
        frame = np.zeros((*placement.frame, 3), np.uint8)
        frame[y : y + height, x : x + width] = seen
        seen = frame
    if description.colour_order == "BGR":
        seen = seen[..., ::-1]
    per_channel: tuple[int, ...] = (3,)
    if description.layout == "NCHW":
        seen = seen.transpose(2, 0, 1)
        per_channel = (3, 1, 1)
    values = seen[np.newaxis].astype(np.float32, order="C")
    if description.value_range == UNIT_RANGE:
        values /= 255
    if any(description.mean):
        values -= np.reshape(description.mean, per_channel).astype(np.float32)
    if any(item != 1 for item in description.deviation):
        values /= np.reshape(description.deviation, per_channel).astype(np.float32)
    return values.astype(dtype, copy=False)


def output_planes(
    output: NDArray[np.floating], description: NetworkDescription, *, batch: int
) -> NDArray[np.float32]:
    """Return the channels (C, h, w) of what a network made of the first picture of a batch.

    Args:
        output: (B, C, h, w) or (B, h, w, C) as `output_layout` says, (B, h, w), (C, h, w) if the
            batch is one picture, or (h, w).
        description: Of the network.
        batch: B.

    Raises:
        ValueError: It has other axes.
    """
    match output.ndim:
        case 4:
            first = output[0]
            planes = first if description.output_layout == "NCHW" else first.transpose(2, 0, 1)
        case 3:
            planes = output if batch == 1 else output[:1]
        case 2:
            planes = output[np.newaxis]
        case _:
            raise ValueError(f"an output of shape {output.shape} is no mask")
    return planes.astype(np.float32, copy=False)


def probability(
    planes: NDArray[np.float32], description: NetworkDescription, placement: Placement
) -> NDArray[np.float32]:
    """Turn the channels of an output into the probability that a pixel shows a person.

    Args:
        planes: (C, h, w), of any size.
        description: Of the network.
        placement: Of the photo in the picture that the network saw.

    Returns:
        (h, w) in [0, 1] over the photo alone, as fine as the output.

    Raises:
        PhotoError: Values are not finite, or no probabilities although they should be.
    """
    plane = require_finite(planes)[description.output_channel]
    match description.output_activation:
        case "sigmoid":
            plane = torch.from_numpy(plane).sigmoid().numpy()
        case "softmax":
            plane = torch.from_numpy(planes).softmax(0)[description.output_channel].numpy()
        case "none":
            _refuse_logits(plane)
    plane = _of_the_photo(plane, placement)
    if description.output_activation == "min-max":
        low, high = plane.min(), plane.max()
        plane = (plane - low) / (high - low) if high > low else np.zeros_like(plane)
    clipped: NDArray[np.float32] = np.clip(plane, 0, 1, dtype=np.float32)
    return clipped


def _refuse_logits(plane: NDArray[np.float32]) -> None:
    low, high = float(plane.min()), float(plane.max())
    if low < -OVERSHOOT or high > 1 + OVERSHOOT:
        raise PhotoError(
            f"the network returned values from {low:.3g} to {high:.3g}, which are no "
            'probabilities: its output_activation is not "none"'
        )


def _of_the_photo(plane: NDArray[np.float32], placement: Placement) -> NDArray[np.float32]:
    """Return the part of a plane that shows the photo, to a fraction of a pixel."""
    y, x, height, width = placement.box
    if (height, width) == placement.frame:
        return plane
    tall, wide = plane.shape
    size = (
        max(1, round(height * tall / placement.frame[0])),
        max(1, round(width * wide / placement.frame[1])),
    )
    to_photo = compose(shift(-x, -y), resizing((tall, wide), placement.frame))
    to_part = compose(resizing((height, width), size), to_photo)
    return cv2.warpAffine(  # type: ignore[return-value]
        plane,
        invert(to_part),
        size[::-1],
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
