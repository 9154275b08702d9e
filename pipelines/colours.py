"""From the colours of a decoded picture to RGB of 8 bits, and what becomes of its colour profile.

RGB keeps its values, and its profile goes on into what is made of them. CMYK and grey that come
with a profile are converted through it to sRGB; without one by the plain formula, which knows
nothing of inks. Of 16 bits the upper 8 are kept. Transparent areas turn white.
"""

from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

PROFILE_NOTE = "its colour profile is damaged or of another kind than its colours, and was left out"

_GREY_MODES = frozenset({"1", "L", "LA"})
_SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def to_rgb(image: Image.Image) -> tuple[NDArray[np.uint8], bytes | None, str | None]:
    """Convert a decoded picture.

    Returns:
        RGB, (H, W, 3) uint8; the profile that describes it, None for sRGB or unknown; and what
        there is to say about the profile, usually None.
    """
    profile: bytes | None = image.info.get("icc_profile") or None
    if image.mode.startswith("I;16"):
        image = Image.fromarray(_upper_bits(image))
    note = None
    if profile is not None and not _describes_rgb(profile, image):
        try:
            image = _to_srgb(image, profile)
        except (OSError, ValueError, ImageCms.PyCMSError):
            note = PROFILE_NOTE
        profile = None
    return _flat_rgb(image), profile, note


def _describes_rgb(profile: bytes, image: Image.Image) -> bool:
    return profile[16:20] == b"RGB " and image.mode != "CMYK"


def _to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """Convert CMYK, or grey with or without alpha, through its profile to RGB or RGBA.

    Raises:
        OSError, ValueError, ImageCms.PyCMSError: The profile is damaged, or not for such colours.
    """
    alpha = image.convert("LA").getchannel("A") if image.has_transparency_data else None
    rgb = ImageCms.profileToProfile(
        image.convert("L") if image.mode in _GREY_MODES else image,
        ImageCms.ImageCmsProfile(BytesIO(profile)),
        _SRGB,
        # As Photoshop does by default: white becomes white, black black, the rest stays true.
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        outputMode="RGB",
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    assert rgb is not None  # it is None only when converting in place
    if alpha is not None:
        rgb.putalpha(alpha)
    return rgb


def _flat_rgb(image: Image.Image) -> NDArray[np.uint8]:
    """Put transparent areas before white, without copies that are not needed."""
    if image.has_transparency_data:
        rgba = image if image.mode == "RGBA" else image.convert("RGBA")
        image = Image.new("RGB", rgba.size, "white")
        image.paste(rgba, mask=rgba)
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def _upper_bits(image: Image.Image) -> NDArray[np.uint8]:
    """Reduce 16-bit grey, (H, W), to its upper 8 bits."""
    return (np.asarray(image).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8)
