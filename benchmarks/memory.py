"""Says what memory photos take, and whether `banet segment --max-memory` keeps its word.

    python benchmarks/memory.py photos    --json benchmarks/results/memory-photos.json
    python benchmarks/memory.py runs      --json benchmarks/results/memory-runs.json

`photos` segments one photo per process, of every format and into every kind of output, and compares
the growth of the resident memory with what `pipelines/photo_memory.py` counts. `runs` starts
`banet segment` on folders that hold photos of 100 megapixels among small ones, once for each kind
of composite, and reads the peak that the system has kept of the process. Photos are made of
`examples/photos`, enlarged and with noise; nothing else is needed but Linux.
"""

import json
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import torch
import typer
from entry import run_app
from measured_commands import BANET, measure
from PIL import ExifTags, Image
from result_files import write_result
from rich.console import Console
from terminal_tables import terminal_table, titles_of

from pipelines.allocator import give_freed_memory_back
from pipelines.engines import load_network, working_size_of
from pipelines.images import Pixels, decode_photo, read_header
from pipelines.info import versions
from pipelines.memory_amounts import MEBIBYTE, parse_memory
from pipelines.peak_memory import forget_process_peak, process_peak
from pipelines.photo_memory import memory_of_photo
from pipelines.photo_results import least_side
from pipelines.process_memory import resident_memory
from pipelines.segment import SegmentOptions, segment

PERSON = Path(__file__).parents[1] / "examples/photos/astronaut.jpg"

SIDE = 5000
"""Of the photos of `photos`, in pixels; with smaller ones, the network takes more than the rest."""

USUAL_NOISE, MUCH_NOISE = 4.0, 40.0
"""Standard deviations in grey levels: of a photo at dusk, and of more than any camera makes."""

FORMATS: dict[str, dict[str, Any]] = {
    "jpg": {"quality": 92},
    "progressive.jpg": {"quality": 92, "progressive": True, "subsampling": 0},
    "turned.jpg": {"quality": 92, "exif": {ExifTags.Base.Orientation: 6}},
    "cmyk.jpg": {"quality": 92, "mode": "CMYK", "progressive": True},
    "grey.jpg": {"quality": 92, "mode": "L"},
    "png": {"compress_level": 1},
    "alpha.png": {"compress_level": 1, "mode": "RGBA"},
    "grey16.png": {"compress_level": 1, "mode": "I;16"},
    "palette.png": {"mode": "P"},
    "tif": {"compression": "tiff_lzw"},
    "jpeg.tif": {"compression": "jpeg"},
    "alpha.tif": {"compression": "tiff_deflate", "mode": "RGBA"},
    "webp": {"quality": 90, "method": 0},
    "alpha.webp": {"lossless": True, "quality": 0, "method": 0, "mode": "RGBA"},
    "avif": {"speed": 10},
    "bmp": {},
    "gif": {"mode": "P"},
}
"""What Pillow is told to save a photo with, by what its name ends in."""

OUTPUTS: tuple[dict[str, Any], ...] = (
    {"composite": "none"},
    {"composite": "none", "mask": "binary"},
    {"composite": "none", "mask": "binary", "refine": False},
    {"composite": "transparent"},
    {"composite": "transparent", "composite_format": "webp"},
    *(
        {"composite": composite, "composite_format": image_format}
        for composite in ("color", "blur", "image")
        for image_format in ("png", "jpg", "webp")
    ),
)

LARGE = {"panorama.jpg": (20_000, 5_000), "square.jpg": (10_000, 10_000)}
"""Width and height of the photos of 100 megapixels."""

SMALL = ((600, 800), (800, 600), (640, 480), (1200, 900), (2000, 3000))

logger = logging.getLogger(__name__)

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

JsonFile = Annotated[Path | None, typer.Option("--json", help="File for the results.")]


@dataclass(frozen=True, kw_only=True)
class PhotoResult:
    """What one photo took.

    Attributes:
        noise: Of the photo, in grey levels.
        measured: Growth of the resident memory at its peak, in bytes per pixel.
        counted: What `memory_of_photo` says, and the file, likewise.
    """

    photo: str
    output: str
    noise: float
    measured: float
    counted: float


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """What one run took.

    Attributes:
        peak_mebibytes: Resident memory of the process at its peak.
        limit_mebibytes: That it was to keep.
        refused: Photos that failed, with the reason.
    """

    output: str
    ok: int
    empty: int
    failed: int
    refused: dict[str, str]
    peak_mebibytes: int
    limit_mebibytes: int
    seconds: float


@app.command()
def photos(*, json_file: JsonFile = None) -> None:
    """Compare what photos take with what is counted for them."""
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for suffix, output, noise in _cases():
            path = _write_photo(Path(folder) / f"photo.{suffix}", (SIDE, SIDE), noise, suffix)
            results.append(_measure(path, output, noise))
            path.unlink()
            logger.info("%s", results[-1])
    table = terminal_table(*titles_of(results[0]), text=2)
    for result in sorted(results, key=lambda each: each.measured / each.counted):
        table.add_row(*(str(value) for value in vars(result).values()))
    Console().print(table)
    _write(json_file, {"side": SIDE, "photos": [asdict(result) for result in results]})


@app.command()
def runs(
    *,
    max_memory: Annotated[str, typer.Option(help="As of banet segment.")] = "2G",
    small: Annotated[int, typer.Option(help="Number of small photos.")] = 60,
    only: Annotated[str | None, typer.Option(help="Outputs that contain this text.")] = None,
    json_file: JsonFile = None,
) -> None:
    """Run `banet segment --max-memory` with photos of 100 megapixels among small ones."""
    results = []
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "photos"
        for name, size in LARGE.items():
            _write_photo(source / f"m-{name}", size, USUAL_NOISE, "jpg")
        for number in range(small):
            size = SMALL[number % len(SMALL)]
            name = f"{'amz'[number % 3]}-{number:03}.jpg"  # before and after the large ones
            _write_photo(source / name, size, USUAL_NOISE, "jpg")
        for output in OUTPUTS:
            if only is None or only in _name(output):
                results.append(_run(source, output, max_memory))
                logger.info("%s", results[-1])
    table = terminal_table(*titles_of(results[0]))
    for result in results:
        table.add_row(*(str(value) for value in vars(result).values()))
    Console().print(table)
    sizes = {name: list(size) for name, size in LARGE.items()}
    content = {"large": sizes, "small": small, "runs": [asdict(result) for result in results]}
    _write(json_file, content)


def _cases() -> Iterator[tuple[str, dict[str, Any], float]]:
    for suffix in FORMATS:
        # Masks alone would take no more than a part of a JPEG.
        composite = "transparent" if suffix.endswith("jpg") else "none"
        yield suffix, {"composite": composite}, USUAL_NOISE
    yield "progressive.jpg", {"composite": "none"}, USUAL_NOISE
    for output in OUTPUTS:
        yield "jpg", output, USUAL_NOISE
        if output["composite"] in {"transparent", "color"}:
            yield "jpg", output, MUCH_NOISE


def _measure(path: Path, output: dict[str, Any], noise: float) -> PhotoResult:
    context = get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        measured = pool.submit(_peak_of_segmenting, path, output).result()
    content = path.read_bytes()
    options = SegmentOptions(inputs=(path,), **_complete(output))
    size = working_size_of(load_network(options.weights), options.size)
    header = read_header(content, reduced_to=least_side(options, size=size))
    counted = len(content) + memory_of_photo(header, options)
    return PhotoResult(
        photo=path.name.removeprefix("photo."),
        output=_name(output),
        noise=noise,
        measured=round(measured / header.pixels, 2),
        counted=round(counted / header.pixels, 2),
    )


def _peak_of_segmenting(path: Path, output: dict[str, Any]) -> int:
    """Segment a photo, and before it a small one, so that all is loaded; return the growth."""
    cpu = torch.device("cpu")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        small = _write_photo(Path(folder) / "small/photo.jpg", (600, 600), USUAL_NOISE, "jpg")
        for number, source in enumerate((small, small, path)):
            if number == 1:  # what the first photo left behind, beside the network's own arrays
                give_freed_memory_back()
            forget_process_peak(cpu)
            before = resident_memory()
            out = Path(folder) / str(number)
            summary = segment(
                SegmentOptions(inputs=(source,), out=out, workers=0, **_complete(output))
            )
            assert summary.ok, summary
    peak = process_peak(cpu)
    assert peak is not None
    return peak - before


def _run(source: Path, output: dict[str, Any], limit: str) -> RunResult:
    with tempfile.TemporaryDirectory() as out:
        command = [*BANET, "segment", str(source), "--out", out]
        command += ["--max-memory", limit, "--json", "--quiet"]
        for key, value in _complete(output).items():
            option = f"--{key.replace('_', '-')}"
            command += [f"--no-{key}"] if value is False else [option, str(value)]
        run = measure(command, allowed=(0, 3))
        summary = json.loads(run.output)
    return RunResult(
        output=_name(output),
        ok=summary["ok"],
        empty=summary["empty"],
        failed=summary["failed"],
        refused={failure["source"]: failure["error"] for failure in summary["failures"]},
        peak_mebibytes=round(run.peak_memory / MEBIBYTE),
        limit_mebibytes=parse_memory(limit) // MEBIBYTE,
        seconds=round(run.wall_seconds, 1),
    )


def _complete(output: dict[str, Any]) -> dict[str, Any]:
    return {**output, "background": str(PERSON)} if output["composite"] == "image" else output


def _name(output: dict[str, Any]) -> str:
    return " ".join("plain" if value is False else str(value) for value in output.values())


def _write_photo(path: Path, size: tuple[int, int], noise: float, suffix: str) -> Path:
    """Write a photo of a person of some (width, height)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    options = dict(FORMATS[suffix])
    mode, exif = options.pop("mode", "RGB"), Image.Exif()
    exif.update(options.pop("exif", {}))
    pixels = _noisy_person(*size, noise)
    if mode == "I;16":
        image = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
    else:
        image = Image.fromarray(pixels).convert(mode)
    if mode == "RGBA":
        image.putalpha(Image.fromarray(pixels[..., 0]))
    image.save(path, exif=exif, **options)
    return path


def _noisy_person(width: int, height: int, noise: float) -> Pixels:
    """Return RGB, (height, width, 3), with several people beside each other if it is wide."""
    person = decode_photo(PERSON.read_bytes()).pixels
    count = max(1, width // height)
    row = np.concatenate([person] * count, axis=1)
    pixels = np.asarray(cv2.resize(row, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)
    rng = np.random.default_rng(0)
    for strip in np.array_split(pixels, -(-height // 256)):
        grain = rng.standard_normal(strip.shape, np.float32) * np.float32(noise)
        strip[...] = (strip + grain).round().clip(0, 255)
    return pixels


def _write(path: Path | None, content: dict[str, Any]) -> None:
    if path is not None:
        write_result(path, {**content, "cpus": os.cpu_count(), "versions": versions()})


if __name__ == "__main__":
    sys.exit(run_app(app))
