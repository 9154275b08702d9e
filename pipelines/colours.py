"""From the colours of a decoded picture to RGB of 8 bits, and what becomes of its colour profile.

RGB keeps its values, and its profile goes on into what is made of them. CMYK and grey that come
with a profile are converted through it to sRGB; without one by the plain formula, which knows
nothing of inks. Of 16 bits the upper 8 are kept. Transparent areas turn white.
"""

from collections.abc import Callable
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

PROFILE_NOTE = "its colour profile is damaged or of another kind than its colours, and was left out"

STRIP_PIXELS = 1 << 18
"""About so many pixels are converted at once."""

_GREY_MODES = frozenset({"1", "L", "LA"})
_SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def to_rgb(image: Image.Image) -> tuple[NDArray[np.uint8], bytes | None, str | None]:
    """Convert a decoded picture.

    Returns:
        RGB, (H, W, 3) uint8; the profile that describes it, None for sRGB or unknown; and what
        there is to say about the profile, usually None.
    """
    profile = profile_of(image)
    if keeps_values(image):
        return _in_strips(image, _flat_rgb), profile, None
    assert profile is not None
    try:
        return _in_strips(image, _conversion_to_srgb(image, profile)), None, None
    except (OSError, ValueError, ImageCms.PyCMSError):
        return _in_strips(image, _flat_rgb), None, PROFILE_NOTE


def keeps_values(image: Image.Image) -> bool:
    """Tell whether the colours of a picture, opened or decoded, need no conversion by a profile."""
    profile = profile_of(image)
    return profile is None or (profile[16:20] == b"RGB " and image.mode != "CMYK")


def profile_of(image: Image.Image) -> bytes | None:
    """Return the colour profile of a picture, None if it has none."""
    return image.info.get("icc_profile") or None


def _in_strips(
    image: Image.Image, convert: Callable[[Image.Image], Image.Image]
) -> NDArray[np.uint8]:
    """Convert an image to RGB of 8 bits, (H, W, 3).

    In strips, since those stay in the cache, and since Pillow, which takes four bytes for every
    pixel in colour, would need two more copies of the whole.
    """
    width, height = image.size
    pixels = np.empty((height, width, 3), np.uint8)
    step = max(1, STRIP_PIXELS // width)
    for top in range(0, height, step):
        bottom = min(top + step, height)
        part = image.crop((0, top, width, bottom))
        if part.mode.startswith("I;16"):
            part = Image.fromarray(_upper_bits(part))
        pixels[top:bottom] = np.asarray(convert(part))
    return pixels


def _conversion_to_srgb(image: Image.Image, profile: bytes) -> Callable[[Image.Image], Image.Image]:
    """Return what converts parts of an image, CMYK or grey, through its profile to RGB.

    Raises:
        OSError, ValueError, ImageCms.PyCMSError: The profile is damaged, or not for such colours.
    """
    is_grey = image.mode in _GREY_MODES or image.mode.startswith("I;16")
    transform = ImageCms.buildTransform(
        ImageCms.ImageCmsProfile(BytesIO(profile)),
        _SRGB,
        "L" if is_grey else image.mode,
        "RGB",
        # As Photoshop does by default: white becomes white, black black, the rest stays true.
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )

    def convert(part: Image.Image) -> Image.Image:
        alpha = part.convert("LA").getchannel("A") if part.has_transparency_data else None
        rgb = ImageCms.applyTransform(part.convert("L") if is_grey else part, transform)
        assert rgb is not None  # it is None only when converting in place
        if alpha is not None:
            rgb.putalpha(alpha)
        return _flat_rgb(rgb)

    return convert


def _flat_rgb(image: Image.Image) -> Image.Image:
    """Put transparent areas before white."""
    if image.has_transparency_data:
        rgba = image if image.mode == "RGBA" else image.convert("RGBA")
        image = Image.new("RGB", rgba.size, "white")
        image.paste(rgba, mask=rgba)
    return image if image.mode == "RGB" else image.convert("RGB")


def _upper_bits(image: Image.Image) -> NDArray[np.uint8]:
    """Reduce 16-bit grey, (H, W), to its upper 8 bits."""
    return (np.asarray(image).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8)
