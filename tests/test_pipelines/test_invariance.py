"""Masks are those of the photo, however the work is divided, ordered, interrupted or computed."""

import logging
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from distributed import LocalCluster
from figures import draw_person
from numpy.typing import NDArray
from PIL import Image
from segment_results import ledger, pixels

from pipelines import segment_run
from pipelines.segment import SegmentOptions, SegmentSummary, segment

Run = Callable[..., SegmentSummary]
Masks = dict[str, NDArray[np.uint8]]

PHOTOS = 24
SHAPES = ((120, 90), (90, 120), (100, 100), (64, 150))
FORMATS = ("png", "jpg", "webp", "bmp", "jpg")

ONE_GREY_LEVEL = 1

HALF_PRECISION = 2 / 255
"""Mean difference that bf16 may make, whose steps are as fine as 1/256 just below a probability
of one, but add up through the layers."""


class Interrupted:
    """Progress that is interrupted after some photos."""

    def __init__(self, done: int) -> None:
        self._left = done

    def start(self, *_stage: object) -> None:
        """Begin."""

    def advance(self, steps: int = 1, _status: str = "") -> None:
        self._left -= steps
        if self._left <= 0:
            raise KeyboardInterrupt

    def finish(self) -> None:
        """End."""


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small drawn people in several formats and shapes."""
    folder = tmp_path_factory.mktemp("photos")
    for number in range(PHOTOS):
        height, width = SHAPES[number % len(SHAPES)]
        path = folder / f"{width}" / f"{number:02d}.{FORMATS[number % len(FORMATS)]}"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(draw_person(number, height=height, width=width)[0]).save(path)
    return folder


def masks_in(out: Path) -> Masks:
    """Return all masks by photo, most of which must show somebody with soft edges."""
    rows = ledger(out)
    assert len(rows) == PHOTOS
    masks = {source: pixels(out / row["mask"]) for source, row in rows.items()}
    assert sum(len(np.unique(mask)) > 20 for mask in masks.values()) > PHOTOS * 2 / 3
    return masks


def largest_difference(first: Masks, second: Masks) -> int:
    assert first.keys() == second.keys()
    return max(
        int(np.abs(first[name].astype(int) - second[name].astype(int)).max()) for name in first
    )


@pytest.fixture(scope="module", params=["fp32", "bf16"])
def precision(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def cut(run: Run, precision: str) -> Run:
    """Segment with the weights that are shipped, at a size that is quick to compute."""
    return partial(run, weights="banet-64", size=160, precision=precision)


@pytest.fixture(scope="module")
def expected(precision: Any, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Masks:
    """The masks of a run in one thread."""
    out = tmp_path_factory.mktemp("expected") / precision
    options = SegmentOptions(
        inputs=(photos,), out=out, weights="banet-64", size=160, precision=precision, workers=0
    )
    segment(options)
    return masks_in(out)


@pytest.fixture(scope="module")
def two_processes() -> Iterator[str]:
    """Address of a cluster of two worker processes."""
    with LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=True,
        dashboard_address=None,
        silence_logs=logging.CRITICAL,
    ) as cluster:
        yield cluster.scheduler_address


@pytest.mark.parametrize(
    "options",
    [
        # One line for each option that must not show in the pixels.
        {"workers": 1},
        {"workers": 2},
        {"workers": 4},
        {"workers": 4, "batch_size": 3},
    ],
    ids=str,
)
def test_how_the_work_is_divided_does_not_show(
    cut: Run, photos: Path, tmp_path: Path, expected: Masks, options: dict[str, Any]
) -> None:
    cut(photos, out=tmp_path / "other", **options)

    assert largest_difference(masks_in(tmp_path / "other"), expected) <= ONE_GREY_LEVEL


def test_threads_and_processes_agree(
    cut: Run, photos: Path, tmp_path: Path, expected: Masks, two_processes: str
) -> None:
    cut(photos, out=tmp_path / "other", scheduler=two_processes)

    assert largest_difference(masks_in(tmp_path / "other"), expected) <= ONE_GREY_LEVEL


def test_the_order_of_the_photos_does_not_show(
    cut: Run, photos: Path, tmp_path: Path, expected: Masks
) -> None:
    files = sorted(photos.rglob("*.*"), key=lambda path: path.name[::-1])
    cut(*files, out=tmp_path / "files")
    cut(photos / "*/*.[wb]*", photos / "**/*.[jp]*", out=tmp_path / "patterns")
    for part in (files[20:], files[:9], files):  # what is there is skipped
        cut(photos / "90/00.png", photos / "150/03.bmp", *part, out=tmp_path / "parts")

    for name in ("files", "patterns", "parts"):
        assert largest_difference(masks_in(tmp_path / name), expected) <= ONE_GREY_LEVEL


@pytest.fixture
def short_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Photos are handed out one by one: else there are few left to interrupt."""
    monkeypatch.setattr(segment_run, "MOST_PHOTOS_PER_TASK", 1)


@pytest.mark.usefixtures("short_tasks")
@pytest.mark.parametrize("workers", [0, 2])
def test_interruptions_do_not_show(
    cut: Run, photos: Path, tmp_path: Path, expected: Masks, workers: int
) -> None:
    out = tmp_path / "other"
    for done in (1, 5, 3):
        with pytest.raises(KeyboardInterrupt):
            cut(photos, out=out, workers=workers, progress=Interrupted(done))
    assert cut(photos, out=out, workers=workers).skipped >= 9

    assert largest_difference(masks_in(out), expected) <= ONE_GREY_LEVEL


def test_shards_do_not_show(cut: Run, photos: Path, tmp_path: Path, expected: Masks) -> None:
    out = tmp_path / "other"
    for shard in ("3/3", "1/3", "2/3"):
        cut(photos, out=out, shard=shard)
    assert cut(photos, out=out).skipped == PHOTOS

    assert largest_difference(masks_in(out), expected) <= ONE_GREY_LEVEL


def test_onnx_agrees_with_torch_within_one_grey_level(
    run: Run, photos: Path, tmp_path: Path, onnx_file: str
) -> None:
    run(photos, out=tmp_path / "torch")
    run(photos, out=tmp_path / "onnx", weights=onnx_file, precision="auto", workers=2)

    masks = {path.relative_to(tmp_path / "torch") for path in tmp_path.glob("torch/masks/*/*")}
    assert len(masks) == PHOTOS
    for mask in masks:
        torch_mask = pixels(tmp_path / "torch" / mask).astype(int)
        difference = np.abs(pixels(tmp_path / "onnx" / mask) - torch_mask)
        assert difference.max() <= ONE_GREY_LEVEL
        assert 0 < torch_mask.mean() < 255


def test_half_precision_stays_near_full_precision(run: Run, photos: Path, tmp_path: Path) -> None:
    run(photos, out=tmp_path / "full", weights="banet-64", size=160)
    run(photos, out=tmp_path / "half", weights="banet-64", size=160, precision="bf16")
    full, half = masks_in(tmp_path / "full"), masks_in(tmp_path / "half")

    for name, mask in full.items():
        difference = np.abs(mask.astype(int) - half[name]).mean() / 255
        assert difference <= HALF_PRECISION, name
