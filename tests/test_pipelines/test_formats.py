"""Every format through `banet segment`: what its mask, its row and its composite look like."""

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from image_files import SRGB, STORED_AS, encoded, turned
from numpy.typing import NDArray
from PIL import Image
from segment_results import ledger, pixels

from pipelines.checkpoints import load_weights
from pipelines.images import decode_photo
from pipelines.inference import Segmenter, soft_mask
from pipelines.photo_results import OVERSAMPLING
from pipelines.segment import SegmentOptions, SegmentSummary, segment

HEIGHT, WIDTH = 72, 48


def sixteen_bits(array: NDArray[np.uint8], suffix: str) -> bytes:
    deep = array.astype(np.uint16) * 256 + 77
    done, content = cv2.imencode(suffix, deep[..., ::-1] if deep.ndim == 3 else deep)
    assert done
    return content.tobytes()


def of_colour(upright: NDArray[np.uint8]) -> Iterator[tuple[str, bytes]]:
    """The same colours in every format."""
    rgb = Image.fromarray(upright)
    opaque = rgb.copy()
    opaque.putalpha(255)
    others = [
        rgb.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
        rgb.transpose(Image.Transpose.ROTATE_180),
    ]
    several = {"save_all": True, "append_images": others}
    yield "plain.jpg", encoded(rgb, "JPEG", quality=95, icc_profile=SRGB)
    yield "progressive.jpg", encoded(rgb, "JPEG", quality=95, progressive=True)
    yield "cmyk.jpg", encoded(rgb.convert("CMYK"), "JPEG", quality=95)
    yield "palette.png", encoded(rgb.quantize(256), "PNG")
    yield "palette-with-transparency.png", encoded(opaque.quantize(256), "PNG")
    yield "alpha.png", encoded(opaque, "PNG")
    yield "16-bit.png", sixteen_bits(upright, ".png")
    yield "plain.webp", encoded(rgb, "WebP", quality=95)
    yield "alpha.webp", encoded(opaque, "WebP", lossless=True)
    yield "plain.tif", encoded(rgb, "TIFF")
    yield "16-bit.tiff", sixteen_bits(upright, ".tiff")
    yield "cmyk.tif", encoded(rgb.convert("CMYK"), "TIFF", compression="tiff_lzw")
    yield "plain.bmp", encoded(rgb, "BMP")
    yield "plain.avif", encoded(rgb, "AVIF", quality=95)
    yield "plain.heic", encoded(rgb, "HEIF", quality=95)
    yield "animated.gif", encoded(rgb, "GIF", **several)
    yield "animated.png", encoded(rgb, "PNG", **several)
    yield "animated.webp", encoded(rgb, "WebP", quality=95, **several)
    yield "pages.tif", encoded(rgb, "TIFF", **several)
    yield "several.jpg", encoded(rgb, "MPO", quality=95, **several)
    for orientation in STORED_AS:
        yield f"turned-{orientation}.jpg", turned(upright, orientation, "JPEG", quality=95)
        yield f"turned-{orientation}.heic", turned(upright, orientation, "HEIF", quality=95)


def of_grey(upright: NDArray[np.uint8]) -> Iterator[tuple[str, bytes]]:
    """The same grey in every format that has it."""
    grey = Image.fromarray(upright).convert("L")
    yield "grey.jpg", encoded(grey, "JPEG", quality=95)
    yield "grey.png", encoded(grey, "PNG")
    yield "grey.tif", encoded(grey, "TIFF")
    yield "grey-16-bit.png", sixteen_bits(np.asarray(grey), ".png")
    yield "grey-16-bit.tiff", sixteen_bits(np.asarray(grey), ".tiff")
    yield (
        "grey-big-endian.tiff",
        encoded(Image.fromarray((np.asarray(grey).astype(np.uint16) * 256).astype(">u2")), "TIFF"),
    )
    yield "grey-alpha.png", encoded(grey.convert("LA"), "PNG")


UPRIGHT = cv2.resize(
    np.random.default_rng(5).integers(0, 256, (5, 4, 3), np.uint8),
    (WIDTH, HEIGHT),
    interpolation=cv2.INTER_CUBIC,
)
NOTES = {
    "animated.gif": "only the first of 3 frames was taken",
    "animated.png": "only the first of 3 frames was taken",
    "animated.webp": "only the first of 3 frames was taken",
    "pages.tif": "only the first of 3 pages was taken",
    "several.jpg": "only the first of 3 pictures was taken",
}


class Results:
    """A run over one file of every format."""

    def __init__(self, weights: str, folder: Path) -> None:
        pytest.importorskip("pillow_heif").register_heif_opener()
        self.out = folder / "out"
        self.names = {"colour": dict(of_colour(UPRIGHT)), "grey": dict(of_grey(UPRIGHT))}
        photos = folder / "photos"
        photos.mkdir()
        for contents in self.names.values():
            for name, content in contents.items():
                (photos / name).write_bytes(content)
        Image.fromarray(UPRIGHT).save(photos / "reference.png")
        self.summary = segment(
            SegmentOptions(
                inputs=(photos,), out=self.out, weights=weights, workers=0, precision="fp32"
            )
        )
        self.rows = ledger(self.out)

    def mask(self, name: str) -> NDArray[np.int64]:
        return pixels(self.out / self.rows[name]["mask"]).astype(np.int64)


@pytest.fixture(scope="module")
def results(weights_file: str, tmp_path_factory: pytest.TempPathFactory) -> Results:
    return Results(weights_file, tmp_path_factory.mktemp("formats"))


def test_every_format_is_segmented(results: Results) -> None:
    photos = 1 + sum(len(contents) for contents in results.names.values())
    assert (results.summary.failures, results.summary.ok) == ((), photos)
    for name, row in results.rows.items():
        assert (row["height"], row["width"]) == (HEIGHT, WIDTH), name
        assert row["note"] == NOTES.get(name), name


@pytest.mark.parametrize(("kind", "reference"), [("colour", "reference.png"), ("grey", "grey.png")])
def test_the_mask_is_that_of_the_same_picture_in_png_and_upright(
    results: Results, kind: str, reference: str
) -> None:
    expected = results.mask(reference)
    other_ways = [expected[::-1], expected[:, ::-1], expected[::-1, ::-1]]
    differs = min(np.abs(expected - other).mean() for other in other_ways)

    for name in results.names[kind]:
        mask = results.mask(name)
        assert mask.shape == (HEIGHT, WIDTH), name
        assert np.abs(mask - expected).mean() < min(3, differs / 2), name


def test_composites_keep_the_profile_of_the_photo(results: Results) -> None:
    for name, profile in {"plain.jpg": SRGB, "progressive.jpg": None, "cmyk.jpg": None}.items():
        with Image.open(results.out / results.rows[name]["composite"]) as composite:
            assert composite.info.get("icc_profile") == profile, name


def test_a_photo_that_cannot_be_read_has_a_row_that_says_what_it_is(
    run: Callable[..., SegmentSummary], tmp_path: Path
) -> None:
    contents = {
        "film.jpg": b"\x00\x00\x00\x20ftypisom\x00\x00\x02\x00" + b"\x00" * 50,
        "layers.psd": b"8BPS\x00\x01" + b"\x00" * 50,
        "letter.png": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n",
        "sensor.nef": b"II*\x00\x10\x00\x00\x00CR\x02\x00" + b"\x00" * 50,
    }
    (tmp_path / "in").mkdir()
    for name, content in contents.items():
        (tmp_path / "in" / name).write_bytes(content)

    summary = run(tmp_path / "in")

    rows = ledger(tmp_path / "in-segmented")
    assert (summary.failed, summary.exit_code) == (4, 3)
    reasons = {"film.jpg": "video", "layers.psd": "PSD", "letter.png": "PDF", "sensor.nef": "CR2"}
    for name, reason in reasons.items():
        assert rows[name]["status"] == "failed"
        assert reason in rows[name]["error"]


@pytest.mark.parametrize("orientation", [1, 6])
def test_decoding_reduced_changes_the_mask_by_a_few_grey_levels(orientation: int) -> None:
    photo = Image.open(Path(__file__).parents[2] / "examples/photos/astronaut.jpg").convert("RGB")
    large = np.asarray(photo.resize((1600, 1600), Image.Resampling.BICUBIC))
    content = turned(large[:, :1200], orientation, "JPEG", quality=95)
    network = Segmenter(
        load_weights("banet-64").network, device=torch.device("cpu"), dtype=torch.float32, size=256
    )

    whole, reduced = (decode_photo(content, reduced_to=size) for size in (None, OVERSAMPLING * 256))
    masks = [
        soft_mask(network(photo.pixels), height=photo.height, width=photo.width).astype(int)
        for photo in (whole, reduced)
    ]

    assert reduced.pixels.shape == (800, 600, 3)
    assert masks[0].shape == masks[1].shape == (1600, 1200)
    difference = np.abs(masks[0] - masks[1])
    assert difference.mean() < 0.5
    assert np.quantile(difference, 0.99) <= 4
