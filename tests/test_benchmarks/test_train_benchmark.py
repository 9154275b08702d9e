import json
from pathlib import Path

import pytest
import train as train_benchmark
import typer


def test_overhead_and_memory_are_measured(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_benchmark, "MEMORY_SIZE", 32)
    monkeypatch.setattr(train_benchmark, "READ_EVERY", 5)
    path = tmp_path / "train.json"
    train_benchmark.main(
        [prepared],
        recipe="quick",
        size=32,
        batch_size=2,
        steps=20,
        memory_steps=40,
        device="cpu",
        json_file=path,
    )
    found = json.loads(path.read_text())
    overhead = found["overhead"]
    assert overhead["ratio"] == pytest.approx(
        overhead["training_seconds"] / overhead["bare_seconds"], abs=0.01
    )
    assert overhead["steps"] == 20
    assert 0.5 < found["memory"]["growth"] < 1.5
    assert len(found["memory"]["resident_mb"]) == 8
    assert found["size"] == 32


def test_missing_dataset_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit):
        train_benchmark.main([tmp_path / "no.zarr"])
    assert "no such dataset" in capsys.readouterr().err
