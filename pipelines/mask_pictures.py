"""Reading of masks that are pictures: a part of `pipelines.images`, which knows the codecs."""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipelines.decoders import open_image, pillow_errors
from pipelines.errors import UnclearMaskError
from pipelines.images import Pixels, open_upright

LISTED_COLOURS = 4

Carrier = Literal["grey", "palette", "alpha"]


class MaskPlane(NamedTuple):
    """The values of a mask file, upright and otherwise unchanged.

    Attributes:
        values: (H, W); of a picture uint8, or uint16 for 16-bit grey.
        carrier: What of the picture holds them: its grey values, the indices into its palette, or
            its alpha channel.
    """

    values: NDArray[np.generic]
    carrier: Carrier = "grey"


def decode_mask(content: bytes, *, as_classes: bool = False) -> MaskPlane:
    """Decode the bytes of a mask file to one plane of values.

    Of a picture with an alpha channel, alpha is the mask if all that it shows has one colour. Of a
    palette picture it is the indices, unless the palette holds nothing but black and white.

    Args:
        content: The whole file.
        as_classes: The values are numbers of classes, so that of a palette picture only the indices
            count, and alpha never does.

    Raises:
        PhotoError: The bytes are no image, one whose colours carry more than a grey value, or one
            whose grey values and alpha channel show different masks.
    """
    with pillow_errors(content):
        image, _, _ = open_upright(content)
        if image.mode.startswith("I;16"):
            return MaskPlane(np.asarray(image).astype(np.uint16))
        if image.mode == "L":
            return MaskPlane(np.asarray(image))
        if image.mode == "P" and (as_classes or not _is_black_and_white(image)):
            return MaskPlane(np.asarray(image), "palette")
        if image.mode in {"LA", "PA", "RGBA"} and not as_classes:
            return _plane_of_transparent_mask(image.convert("RGBA"))
        return MaskPlane(_grey_plane(image.convert("RGB")))


def decode_alpha(content: bytes) -> Pixels | None:
    """Decode the opacity of a picture, upright.

    Args:
        content: The whole file.

    Returns:
        (H, W) uint8, 255 where it is opaque; None if it knows no transparency.

    Raises:
        PhotoError: The bytes are no image, or a damaged one.
    """
    with pillow_errors(content):
        image, _, _ = open_upright(content)
        if not image.has_transparency_data:
            return None
        return np.asarray(image.convert("RGBA").getchannel("A"))


def has_alpha(content: bytes) -> bool:
    """Tell from the header whether a picture knows transparency.

    Raises:
        PhotoError: The bytes are no image.
    """
    with pillow_errors(content):
        return open_image(content).has_transparency_data


def _is_black_and_white(image: Image.Image) -> bool:
    """Tell whether all colours of a palette picture that occur are pure black or pure white."""
    colours = image.convert("RGB").getcolors(maxcolors=2)
    return colours is not None and {colour for _, colour in colours} <= {(0,) * 3, (255,) * 3}


def _plane_of_transparent_mask(image: Image.Image) -> MaskPlane:
    rgb, alpha = image.convert("RGB"), np.asarray(image.getchannel("A"))
    if alpha.min() == alpha.max():
        return MaskPlane(_grey_plane(rgb))
    # What nothing is seen of may have any colour.
    visible = np.asarray(rgb)[alpha > 0]
    has_one_colour = bool((visible == visible[0]).all())
    if not has_one_colour and not np.array_equal(_grey_plane(rgb), alpha):
        raise UnclearMaskError(
            "its colours and its alpha channel show different masks; save it with one of them"
        )
    return MaskPlane(alpha, "alpha")


def _grey_plane(image: Image.Image) -> Pixels:
    red, green, blue = (np.asarray(image.getchannel(band)) for band in "RGB")
    if not (np.array_equal(red, green) and np.array_equal(green, blue)):
        colours = np.unique(np.asarray(image).reshape(-1, 3), axis=0)
        listed = ", ".join("#{:02x}{:02x}{:02x}".format(*each) for each in colours[:LISTED_COLOURS])
        more = ", ..." if len(colours) > LISTED_COLOURS else ""
        raise UnclearMaskError(
            f"a mask must be grey, this one has {len(colours)} colours ({listed}{more}); save it "
            "with 255 where there is a person and 0 elsewhere"
        )
    return red
