# ruff: noqa: ARG001 - every fault takes the photo and the mask
"""Faults of datasets, to be put into clean ones in the layout `pairs`."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
from figures import draw_portrait
from PIL import Image, ImageDraw, ImageFilter

HEIGHT, WIDTH = 240, 180
CLEAN = 12

Change = Callable[[Path, Path], None]
FAULTS: dict[str, tuple[str, Change]] = {}
"""By name: what the doctor is to call it, and what makes it of the paths of a photo and a mask."""


def write_clean(root: Path) -> None:
    """Write images/NN.png and masks/NN.png of people before grounds."""
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    for number in range(CLEAN):
        photo, mask = draw_portrait(number, height=HEIGHT, width=WIDTH)
        Image.fromarray(photo).save(root / "images" / f"{number:02d}.png")
        Image.fromarray(mask).save(root / "masks" / f"{number:02d}.png")


def opened(path: Path) -> Image.Image:
    """Read a picture and close its file."""
    with Image.open(path) as picture:
        picture.load()
    return picture


def fault(kind: str) -> Callable[[Change], Change]:
    """Enter a function among the faults."""

    def enter(change: Change) -> Change:
        FAULTS[change.__name__] = kind, change
        return change

    return enter


def of_mask(kind: str, name: str, change: Callable[[Image.Image], Image.Image]) -> None:
    """Enter a change of nothing but the mask."""

    def changed(photo: Path, mask: Path) -> None:
        change(opened(mask)).save(mask)

    FAULTS[name] = kind, changed


def of_photo(kind: str, name: str, change: Callable[[Image.Image], Image.Image]) -> None:
    """Enter a change of nothing but the photo."""

    def changed(photo: Path, mask: Path) -> None:
        change(opened(photo)).save(photo)

    FAULTS[name] = kind, changed


def copy_of_photo(kind: str, name: str, change: Callable[[Image.Image], Image.Image]) -> None:
    """Enter a second photo, made of the first, with a mask of its own."""

    def changed(photo: Path, mask: Path) -> None:
        change(opened(photo)).save(photo.with_name("99.png"))
        change(opened(mask).convert("RGB")).convert("L").point(lambda v: 255 * (v > 127)).save(
            mask.with_name("99.png")
        )

    FAULTS[name] = kind, changed


@fault("photo-unreadable")
def photo_cut_off(photo: Path, mask: Path) -> None:
    photo.write_bytes(photo.read_bytes()[:5000])


@fault("photo-unreadable")
def photo_is_text(photo: Path, mask: Path) -> None:
    photo.write_text("404 Not Found")


@fault("mask-unreadable")
def mask_of_no_bytes(photo: Path, mask: Path) -> None:
    mask.write_bytes(b"")


@fault("mask-is-photo")
def photo_in_place_of_the_mask(photo: Path, mask: Path) -> None:
    mask.write_bytes(photo.read_bytes())


@fault("unclear-mask")
def mask_of_colours(photo: Path, mask: Path) -> None:
    grey = np.asarray(opened(mask))
    Image.fromarray(np.stack([grey, grey // 2, 0 * grey], axis=2)).save(mask)


@fault("unclear-mask")
def mask_of_classes_with_a_palette(photo: Path, mask: Path) -> None:
    classes = Image.fromarray((np.asarray(opened(mask)) // 255) * 15)
    classes.putpalette([*range(256)] * 3)
    classes.save(mask)


@fault("unrotated-mask")
def mask_of_the_photo_before_its_orientation(photo: Path, mask: Path) -> None:
    sideways = opened(photo).transpose(Image.Transpose.ROTATE_90)
    exif = sideways.getexif()
    exif[0x0112] = 6  # to be turned clockwise
    sideways.save(photo, exif=exif)
    opened(mask).transpose(Image.Transpose.ROTATE_90).save(mask)


@fault("rotated-mask")
def mask_of_the_photo_before_it_was_turned_upside_down(photo: Path, mask: Path) -> None:
    turned = opened(photo).transpose(Image.Transpose.ROTATE_180)
    exif = turned.getexif()
    exif[0x0112] = 3
    turned.save(photo, exif=exif)
    opened(mask).transpose(Image.Transpose.ROTATE_180).save(mask)


@fault("unusable-name")
def two_photos_of_one_name(photo: Path, mask: Path) -> None:
    opened(photo).save(photo.with_suffix(".bmp"))


@fault("photo-missing")
def no_photo(photo: Path, mask: Path) -> None:
    photo.unlink()


@fault("mask-missing")
def no_mask(photo: Path, mask: Path) -> None:
    mask.unlink()


@fault("misnamed-pair")
def mask_of_another_name(photo: Path, mask: Path) -> None:
    mask.rename(mask.with_name(f"Mask-{mask.stem.lstrip('0')}.PNG"))


@fault("shared-mask")
def mask_of_the_next_photo(photo: Path, mask: Path) -> None:
    mask.write_bytes(mask.with_name("00.png").read_bytes())


@fault("lossy-mask")
def mask_as_jpeg(photo: Path, mask: Path) -> None:
    opened(mask).save(mask.with_suffix(".jpg"), quality=85)
    mask.unlink()


@fault("duplicate-photo")
def photo_twice(photo: Path, mask: Path) -> None:
    photo.with_name("99.png").write_bytes(photo.read_bytes())
    mask.with_name("99.png").write_bytes(mask.read_bytes())


@fault("conflicting-masks")
def photo_twice_with_another_mask(photo: Path, mask: Path) -> None:
    photo.with_name("99.png").write_bytes(photo.read_bytes())
    opened(mask).filter(ImageFilter.MaxFilter(5)).save(mask.with_name("99.png"))


@fault("flawed-photo")
def photo_with_a_gap_in_its_data(photo: Path, mask: Path) -> None:
    buffer = BytesIO()
    opened(photo).convert("RGB").save(buffer, "JPEG")
    content = buffer.getvalue()
    end = len(content) * 9 // 10
    photo.write_bytes(content[: end - 50] + content[end:])


@fault("half-photo")
def photo_that_was_cut_off_and_saved_again(photo: Path, mask: Path) -> None:
    picture = opened(photo)
    ImageDraw.Draw(picture).rectangle((0, HEIGHT - 50, WIDTH, HEIGHT), fill=(128, 128, 128))
    picture.save(photo)


@fault("small-photo")
def photo_of_few_pixels(photo: Path, mask: Path) -> None:
    for path in (photo, mask):
        opened(path).resize((72, 96), Image.Resampling.NEAREST).save(path)


@fault("near-duplicate")
def photo_compressed(photo: Path, mask: Path) -> None:
    opened(photo).save(photo.with_name("99.jpg"), quality=60)
    opened(mask).filter(ImageFilter.MaxFilter(3)).save(mask.with_name("99.png"))


def _box(mask: Image.Image) -> Image.Image:
    box = Image.new("L", mask.size)
    ImageDraw.Draw(box).rectangle(mask.getbbox(), fill=255)
    return box


def _specks(mask: Image.Image) -> Image.Image:
    wrong = np.random.default_rng(0).random((HEIGHT, WIDTH)) < 0.02
    return Image.fromarray(np.where(wrong, 255 - np.asarray(mask), mask).astype(np.uint8))


def _tiny(mask: Image.Image) -> Image.Image:
    tiny = Image.new("L", mask.size)
    ImageDraw.Draw(tiny).ellipse((80, 100, 90, 110), fill=255)
    return tiny


def _beside(mask: Image.Image) -> Image.Image:
    """Return a shape that has nothing to do with the person."""
    drawn = Image.new("L", mask.size)
    ImageDraw.Draw(drawn).ellipse((50, 130, 170, 235), fill=255)
    return drawn


def _stairs(mask: Image.Image) -> Image.Image:
    small = mask.resize((WIDTH // 6, HEIGHT // 6), Image.Resampling.NEAREST)
    return small.resize(mask.size, Image.Resampling.NEAREST)


def _moved(mask: Image.Image) -> Image.Image:
    return mask.transform(mask.size, Image.Transform.AFFINE, (1, 0, 14, 0, 1, 8))


of_mask("empty-mask", "mask_of_nobody", lambda mask: mask.point(lambda _: 0))
of_mask("full-mask", "mask_of_nothing_else", lambda mask: mask.point(lambda _: 255))
of_mask("inverted-mask", "mask_inverted", lambda mask: mask.point(lambda value: 255 - value))
of_mask("shifted-mask", "mask_moved", _moved)
of_mask("mirrored-mask", "mask_mirrored", lambda m: m.transpose(Image.Transpose.FLIP_LEFT_RIGHT))
of_mask("rotated-mask", "mask_upside_down", lambda m: m.transpose(Image.Transpose.ROTATE_180))
of_mask("rotated-mask", "mask_turned_a_little", lambda mask: mask.rotate(12))
of_mask("ill-fitting-mask", "mask_of_something_else", _beside)
of_mask("tiny-person", "mask_of_a_speck", _tiny)
of_mask("speckled-mask", "mask_with_specks", _specks)
of_mask("box-mask", "mask_of_a_box", _box)
of_mask("blocky-mask", "mask_enlarged_from_a_small_one", _stairs)
of_mask("odd-convention", "soft_mask", lambda mask: mask.filter(ImageFilter.GaussianBlur(2)))
of_mask("scaled-mask", "mask_of_half_the_size", lambda m: m.resize((WIDTH // 2, HEIGHT // 2)))
of_mask("size-mismatch", "mask_cut", lambda mask: mask.crop((0, 0, WIDTH, HEIGHT - 40)))
of_photo("blank-photo", "photo_of_one_colour", lambda photo: photo.point(lambda _: 90))
of_photo("grey-photo", "photo_without_colours", lambda p: p.convert("L").convert("RGB"))
copy_of_photo("near-duplicate", "photo_enlarged", lambda each: each.resize((300, 400)))
copy_of_photo(
    "near-duplicate", "photo_mirrored", lambda m: m.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
)
copy_of_photo("near-duplicate", "photo_cut_a_little", lambda each: each.crop((2, 2, 178, 239)))
