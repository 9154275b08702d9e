import json
import signal
from collections.abc import Iterator
from pathlib import Path

import ablation
import ablation_rows
import pytest


@pytest.fixture(autouse=True)
def handler() -> Iterator[None]:
    """Take back what the driver changes in its process."""
    earlier = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, earlier)


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let rows be run under a budget of seconds, with results in a folder of the test."""
    base = tmp_path / "tiny.toml"
    base.write_text("iterations = 3\nsize = 32\nbatch_size = 2\n")
    monkeypatch.setattr(ablation_rows, "BASE", base)
    monkeypatch.setattr(ablation, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(ablation, "PHOTOS", 2)
    return tmp_path / "results"


def test_row_is_trained_and_judged_once(
    prepared: Path, nobody: Path, results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run() -> None:
        ablation.run([prepared, nobody], nobody=nobody, folder=tmp_path / "runs", rows="all-sgd")

    run()
    (path,) = results.iterdir()
    print(path.read_text())
    result = json.loads(path.read_text())
    assert str(tmp_path) not in path.read_text()
    assert list(result["validation"]) == ["pairs"]
    monkeypatch.setattr(ablation, "train", pytest.fail)  # a row that is there is not run again
    run()
