"""`benchmarks/segment.py` and what is worked out from it."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
from measured_commands import measure
from photo_sets import EXAMPLES, write_photo_set
from PIL import Image
from scale import Prices, render
from segment import SIZES, Bench, Case, StartUp

from pipelines.errors import BanetError, InputError

SMALL = "600 x 800"


def test_photos_of_a_set_have_one_size_and_differ(tmp_path: Path) -> None:
    write_photo_set(tmp_path / "set", EXAMPLES, count=9, height=80, width=60)

    photos = [Image.open(path) for path in sorted((tmp_path / "set").iterdir())]
    assert [photo.size for photo in photos] == 9 * [(60, 80)]
    assert len({photo.tobytes() for photo in photos}) == 9


def test_a_folder_without_photos_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no photo there"):
        write_photo_set(tmp_path / "set", tmp_path, count=1, height=8, width=8)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems say no peak while it lasts")
def test_the_peak_of_a_command_is_its_own() -> None:
    ours = bytearray(300_000_000)
    ours[::4096] = b"x" * len(ours[::4096])

    small = measure([sys.executable, "-c", "import time; time.sleep(0.1)"])
    large = measure(
        [sys.executable, "-c", "import time; x = bytes([1]) * 200_000_000; time.sleep(0.3)"]
    )

    assert small.peak_memory < 100e6
    assert 200e6 < large.peak_memory < 300e6


@pytest.mark.skipif(sys.platform != "linux", reason="other systems say no peak while it lasts")
def test_the_peak_of_a_command_holds_that_of_processes_that_it_started() -> None:
    child = "import time; x = bytes([1]) * 200_000_000; time.sleep(0.8)"
    script = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"

    assert 200e6 < measure([sys.executable, "-c", script]).peak_memory < 300e6


def test_the_time_of_a_command_holds_that_of_processes_that_it_waited_for() -> None:
    child = "import time\nwhile time.process_time() < 0.5: pass"
    script = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"

    assert 0.5 < measure([sys.executable, "-c", script]).cpu_seconds < 0.9


def test_a_command_that_fails_says_what_it_said() -> None:
    with pytest.raises(BanetError, match="failed with 3: no luck"):
        measure(
            [sys.executable, "-c", "import sys; print('no luck', file=sys.stderr); sys.exit(3)"]
        )


def test_cases_are_run_and_scaled_up(tmp_path: Path) -> None:
    bench = Bench(tmp_path, EXAMPLES, dict.fromkeys(SIZES, 1), None)
    start_up = StartUp(help=0.1, imports=0.1, one_photo=1.0, one_photo_cpu=0.0)
    cases = [
        Case(photos=SMALL, composite="none", program="plain loop"),
        Case(photos=SMALL, composite="transparent", program="banet"),
    ]

    loop, banet = (bench.result(case, [bench.run(case)], start_up) for case in cases)

    assert loop.files_written == 1
    assert loop.stages is None
    assert banet.files_written >= 4  # mask, cut-out, ledger and run file
    assert banet.stages is not None
    assert banet.stages["forward"] > 0
    assert "shrink" in banet.stages
    assert banet.efficiency is not None
    assert 0 < banet.efficiency <= 1
    text = render(
        {
            "cores": 2,
            "versions": {"python": "3", "torch": "2"},
            "results": json.loads(json.dumps([asdict(loop), asdict(banet)])),
        },
        {
            "photos": 1000,
            "ledger_bytes_per_photo": 400,
            "most_megabytes": 300,
            "megabytes_per_10000_photos": 0.5,
        },
        photos=100_000_000,
        prices=Prices(core_hour=1, terabyte_month=1, million_writes=1, million_reads=1),
    )
    assert text.startswith("# 100,000,000 photos")
    assert "600 x 800, masks and cut-outs" in text
    hours = banet.cpu_seconds_per_photo * 100_000_000 / 3600
    assert f"{hours:,.0f}" in text
