"""`benchmarks/prepare.py`, the loop beside it, and what is worked out from them."""

import json
from pathlib import Path

import numpy as np
import plain_prepare
import prepare as prepare_benchmark
import pytest
import typer
import zarr
from prepare import Throughput, ratios
from stored_reading import Training, measure_reading

from pipelines.prepare import PrepareOptions, prepare


def test_the_loop_writes_what_banet_writes(pairs_folder: Path, tmp_path: Path) -> None:
    plain_prepare.main(pairs_folder, tmp_path / "loop.zarr", size=64, doctor=True)
    prepare(
        PrepareOptions(source=pairs_folder, dataset=tmp_path / "banet.zarr", size=64, workers=0)
    )

    loop, banet = (
        zarr.open_group(tmp_path / f"{name}.zarr", mode="r") for name in ("loop", "banet")
    )
    for name in ("image", "mask", "boundary", "kernel_size", "valid", "name", "sha256"):
        ours, others = np.asarray(banet[name][:]), np.asarray(loop[name][:])
        assert (ours == others).all(), name
    for name in ("image", "mask", "boundary"):
        for fact in ("chunks", "shards", "compressors", "dtype"):
            assert getattr(banet[name], fact) == getattr(loop[name], fact)


def test_programs_and_memory_are_measured(tmp_path: Path) -> None:
    path = tmp_path / "prepare.json"

    prepare_benchmark.main(
        count=4, size=64, repeats=1, steps=0, memory_counts="10,20", json_file=path
    )

    found = json.loads(path.read_text())
    assert [each["program"] for each in found["throughput"]] == list(prepare_benchmark.PROGRAMS)
    for each in found["throughput"]:
        assert each["pairs_per_second"] == pytest.approx(4 / each["wall_seconds"], rel=0.01)
        assert each["bytes_per_pair"] > 1000
    assert {"over plain loop", "over plain loop with doctor"} <= found["ratios"].keys()
    assert found["reading"] is None
    assert found["memory"]["peak_mb"].keys() == {"10", "20"}


def test_reading_is_compared_with_training(prepared: Path) -> None:
    training = Training(recipe="quick", size=32, batch_size=2)

    found = measure_reading(prepared, samples=30, steps=20, repeats=1, trainings=[training])

    assert found.speeds.keys() == {1, 2}
    assert all(min(speed) > 0 for speed in found.speeds.values())
    assert found.ratios["2 reading, quick, 32"] == pytest.approx(
        found.speeds[2].read / found.training["quick, 32"], abs=0.01
    )


def test_ratios_are_told_with_start_up_and_without() -> None:
    def throughput(program: str, speed: float, started: float | None) -> Throughput:
        return Throughput(
            program=program,
            count=2,
            wall_seconds=1,
            cpu_seconds=1,
            cpu_ms_per_pair=1,
            start_up_seconds=1,
            pairs_per_second=speed,
            pairs_per_second_started=started,
            peak_memory_mb=1,
            bytes_per_pair=1,
        )

    found = ratios([throughput("banet", 3, 10), throughput("a", 2, 4), throughput("b", 6, None)])

    assert found == {"over a": 1.5, "over a, without start-up": 2.5, "over b": 0.5}


def test_a_folder_without_photos_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit):
        prepare_benchmark.main(photos=tmp_path)
    assert "no photo there" in capsys.readouterr().err
