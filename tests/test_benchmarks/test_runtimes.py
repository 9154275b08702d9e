import json
from pathlib import Path

import pytest
import runtimes
import typer


def test_every_engine_is_timed(
    weights_file: str, onnx_file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtimes, "export_weights", lambda _: Path(onnx_file).read_bytes())
    monkeypatch.setattr(runtimes, "SHAPES", ((32, 48),))
    monkeypatch.setattr(runtimes, "THREADS", (1,))
    monkeypatch.setattr(runtimes, "WARM_UP_ROUNDS", 1)

    runtimes.main(weights_file, repeats=1, json_file=tmp_path / "out.json")

    timings = json.loads((tmp_path / "out.json").read_text())["latency"]
    assert [timing["engine"] for timing in timings] == [
        runtimes.BASELINE,
        runtimes.HALF,
        runtimes.EXPORTED,
    ]
    assert all(timing["milliseconds"] > 0 for timing in timings)


@pytest.mark.parametrize("weights", ["a.onnx", "nowhere.safetensors"])
def test_weights_that_cannot_be_exported_are_a_mistake_of_usage(weights: str) -> None:
    with pytest.raises(typer.BadParameter, match=weights):
        runtimes.main(weights)
