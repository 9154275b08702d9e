"""`--max-memory` on real processes, whose peak the system tells."""

import json
import os
import re
import struct
import sys
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from distributed import LocalCluster
from measured_commands import measure
from PIL import Image
from segment_results import ledger

from pipelines.encoding import encode
from pipelines.errors import ConfigError
from pipelines.memory_amounts import MEBIBYTE, format_memory, parse_memory
from pipelines.parallel import available_memory, open_pool
from pipelines.peak_memory import process_peak
from pipelines.photo_tasks import TaskSettings
from pipelines.progress import SilentProgress
from pipelines.segment import SegmentSummary
from pipelines.worker_process import process_memory

Run = Callable[..., SegmentSummary]
WritePhoto = Callable[..., Path]
needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="other systems count otherwise")

EXAMPLE = Path(__file__).parents[2] / "examples/photos/astronaut.jpg"


@dataclass
class Finished:
    summary: dict[str, Any]
    exit_code: int
    peak: int


def segment_in_a_process(folder: Path, out: Path, *options: str) -> Finished:
    command = [sys.executable, "-m", "banet_cli", "segment", str(folder), "--out", str(out)]
    run = measure([*command, "--workers", "2", "--json", "--quiet", *options], allowed=(0, 3))
    return Finished(json.loads(run.output), run.exit_code, run.peak_memory)


def write_person(path: Path, *, width: int, height: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.open(EXAMPLE).convert("RGB").resize((width, height)).save(path, quality=90)
    return path


@needs_linux
@pytest.mark.parametrize("batch", [(), ("--batch-size", "2")], ids=str)
def test_large_photos_keep_the_limit_or_are_refused(
    tmp_path: Path, weights_file: str, write_photo: WritePhoto, batch: tuple[str, ...]
) -> None:
    photos, out, limit = tmp_path / "photos", tmp_path / "out", "900M"
    large = write_photo(photos / "b-large.bmp", width=8000, height=4000)  # 32 megapixels
    vast = np.zeros((10_000, 10_000, 3), np.uint8)
    (photos / "c-vast.png").write_bytes(encode(vast, "png"))
    for number in range(6):
        write_photo(photos / f"{'ad'[number % 2]}-{number}.jpg", width=800, height=600, seed=number)
    options = ("--max-memory", limit, "--weights", weights_file, "--composite", "none", *batch)

    run = segment_in_a_process(photos, out, *options)

    assert run.exit_code == 3
    assert large.stat().st_size + 32e6 * 7 < run.peak < parse_memory(limit)
    rows = ledger(out)
    assert [name for name, row in rows.items() if row["status"] == "failed"] == ["c-vast.png"]
    assert re.match(
        r"needs \d+M of memory, and --max-memory 900M leaves \d+M for photos; raise it to \d+M",
        rows["c-vast.png"]["error"],
    )
    assert rows["c-vast.png"]["sha256"]


@needs_linux
@pytest.mark.heavy
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--composite", "none"),
        ("--composite", "blur"),
        ("--composite", "blur", "--composite-format", "jpg"),
        ("--composite", "image", "--background", str(EXAMPLE), "--composite-format", "jpg"),
        ("--composite", "color", "--background", "white", "--composite-format", "webp"),
    ],
    ids=" ".join,
)
def test_photos_of_100_megapixels_fit_into_two_gigabytes(
    tmp_path: Path, write_photo: WritePhoto, options: tuple[str, ...]
) -> None:
    photos, out, limit = tmp_path / "photos", tmp_path / "out", "2G"
    is_webp = "webp" in options  # which holds no side of 20,000 pixels
    write_person(photos / "m-square.jpg", width=10_000, height=10_000)
    write_person(photos / "m-wide.jpg", width=10_000 if is_webp else 20_000, height=5_000)
    for number in range(30):
        write_photo(photos / f"{'az'[number % 2]}-{number}.jpg", width=800, height=600, seed=number)

    run = segment_in_a_process(photos, out, "--max-memory", limit, *options)

    assert run.exit_code == 0
    assert run.summary["discovered"] == 32
    assert ledger(out)["m-square.jpg"]["status"] == "ok"
    assert run.peak < parse_memory(limit)


def test_a_limit_that_the_program_alone_passes_is_an_error(run: Run, photos: Path) -> None:
    with pytest.raises(ConfigError, match=r"--max-memory 100M: .* take \d+M .*; use \d+M or more"):
        run(photos, max_memory=100 * MEBIBYTE)


def test_the_least_that_an_error_names_is_enough(run: Run, photos: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        run(photos, max_memory=MEBIBYTE)
    least = parse_memory(str(caught.value).split("; use ")[1].split(" ")[0])

    # A little more, since this process goes on growing between both runs.
    assert run(photos, max_memory=least + 32 * MEBIBYTE).ok == 5


def test_results_do_not_depend_on_the_limit(run: Run, photos: Path) -> None:
    assert run(photos).ok == 5
    assert run(photos, max_memory=8 * 1024 * MEBIBYTE).skipped == 5


def budget_of(settings: TaskSettings) -> tuple[int, int]:
    time.sleep(0.2)  # so that no process does all of it
    return os.getpid(), process_memory(settings)._budget.total


@pytest.mark.slow
def test_workers_on_one_machine_share_its_memory(run: Run, photos: Path) -> None:
    class Looking(SilentProgress):
        settings: TaskSettings

        def start(self, _stage: str, _steps: int, figures: Any) -> None:
            self.settings = figures.__self__.settings

    progress = Looking()
    with LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=True,
        memory_limit=0,
        dashboard_address=":0",
    ) as cluster:
        scheduler = cluster.scheduler_address
        assert run(photos, scheduler=scheduler, progress=progress).ok == 5
        with open_pool(scheduler=scheduler) as pool:
            budgets = dict(pool.map(budget_of, [progress.settings] * 8))

    assert list(budgets.values()) == [available_memory() // 4] * 2


@pytest.mark.parametrize("side", [14_000, 60_000])
def test_headers_that_claim_too_much_allocate_nothing(run: Run, tmp_path: Path, side: int) -> None:
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    content = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk
    content += struct.pack(">I", zlib.crc32(chunk)) + struct.pack(">I", 1000) + b"IDAT"
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/torn.png").write_bytes(content + bytes(100))

    # Other tests have left their traces in the memory of this process.
    taken = process_peak(torch.device("cpu")) or 0
    summary = run(tmp_path / "photos", max_memory=taken + 1000 * MEBIBYTE)

    expected = "too large: 60000 x 60000" if side == 60_000 else r"needs \d+M of memory"
    assert summary.failed == 1
    assert re.search(expected, summary.failures[0].error)


@pytest.mark.parametrize(
    ("text", "amount"),
    [("2G", 2**31), ("512M", 2**29), ("1.5g", 3 * 2**29), ("2GiB", 2**31), ("4096", 4096)],
)
def test_amounts_of_memory_are_read(text: str, amount: int) -> None:
    assert parse_memory(text) == amount


@pytest.mark.parametrize("text", ["", "G", "-2G", "2X", "two"])
def test_other_texts_are_no_amounts_of_memory(text: str) -> None:
    with pytest.raises(ValueError, match="no amount of memory"):
        parse_memory(text)


def test_amounts_are_written_so_that_they_suffice() -> None:
    assert format_memory(2**31) == "2G"
    assert format_memory(2**29 + 1) == "513M"
    assert parse_memory(format_memory(123_456_789)) >= 123_456_789
