import json
import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ablation
import ablation_rows
import pytest
from ablation_rows import ROWS, row_recipe
from entry import INTERRUPTED
from result_files import sha256_of
from training_document import render_document

from pipelines.recipes import recipe_from_table


@pytest.fixture(autouse=True)
def handler() -> Iterator[None]:
    """Take back what the driver changes in its process."""
    earlier = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, earlier)


@dataclass(frozen=True, kw_only=True)
class Tiny:
    """An ablation of seconds on stores that are made by code."""

    base: Path
    results: Path
    runs: Path
    stores: tuple[Path, Path]

    def run(self, *options: str) -> int:
        people, nobody = map(str, self.stores)
        arguments = [people, nobody, "--nobody", nobody, "--folder", str(self.runs), *options]
        return ablation.main(["run", *arguments])


@pytest.fixture
def tiny(prepared: Path, nobody: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    base = tmp_path / "tiny.toml"
    base.write_text("iterations = 3\nsize = 32\nbatch_size = 2\n")
    monkeypatch.setattr(ablation_rows, "BASE", base)
    monkeypatch.setattr(ablation, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(ablation, "PHOTOS", 2)
    folders = {name: tmp_path / name for name in ("results", "runs")}
    return Tiny(base=base, stores=(prepared, nobody), **folders)


def test_document_is_what_the_results_give() -> None:
    assert ablation.DOCUMENT.read_text(encoding="utf-8") == render_document(ablation.RESULTS), (
        "write it anew: python benchmarks/ablation.py render"
    )


@pytest.mark.parametrize("name", ROWS)
def test_row_is_a_recipe(name: str) -> None:
    (stage,) = recipe_from_table(row_recipe(name), where=name).stages
    (reference,) = recipe_from_table(row_recipe("paper"), where="paper").stages
    assert stage.iterations == reference.iterations
    assert (stage == reference) == (name == "paper")


def test_rows_that_were_not_run_say_so(tmp_path: Path) -> None:
    document = render_document(tmp_path)
    for name in ROWS:
        assert f"| `{name}` | not run |" in document
    assert "The order of the rows: not run." in document


def test_row_is_trained_and_judged_once(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tiny.run("--rows", "paper,all-sgd") == 0

    text = (tiny.results / "all-sgd-seed0.json").read_text()
    result = json.loads(text)
    assert str(tmp_path) not in text
    assert result["change"]["optimizer"] == "sgd"
    assert result["change"]["augmentation.view"] == 0.6
    assert result["command"].endswith("--folder runs --rows all-sgd --seeds 0")
    assert list(result["validation"]) == ["pairs"]
    assert result["losses"]["worst"] >= result["losses"]["mean"]
    assert result["web_portraits"]["together"]["photos"] == 4
    lines = render_document(tiny.results).splitlines()
    rows = [line for line in lines if line.startswith("| `all-sgd` ([0](")]
    assert len(rows) == 2, "photos as they are, and others"
    assert any(line.startswith("Against `paper`, by the web portraits") for line in lines)

    monkeypatch.setattr(ablation, "train", pytest.fail)  # a row that is there is not run again
    assert tiny.run("--rows", "paper,all-sgd") == 0


def test_result_of_another_recipe_is_not_taken_for_that_of_the_row(
    tiny: Tiny, caplog: pytest.LogCaptureFixture
) -> None:
    tiny.run("--rows", "paper")
    tiny.base.write_text("iterations = 4\nsize = 32\nbatch_size = 2\n")
    with pytest.raises(ValueError, match=r"paper-seed0.json: of another recipe"):
        render_document(tiny.results)
    assert tiny.run("--rows", "paper") == 1
    assert f"{tiny.runs / 'paper-seed0'}: a run of another recipe" in caplog.text


def test_terminated_row_goes_on_where_it_was(tiny: Tiny, caplog: pytest.LogCaptureFixture) -> None:
    tiny.base.write_text("iterations = 60\nsize = 32\nbatch_size = 2\nvalidate_every = 60\n")
    metrics = tiny.runs / "paper-seed0" / "metrics.jsonl"
    threading.Thread(target=terminate_when_there, args=(metrics,)).start()
    assert tiny.run("--rows", "paper") == INTERRUPTED
    assert not tiny.results.exists()

    with caplog.at_level("INFO"):
        assert tiny.run("--rows", "paper") == 0

    begun = [int(each) for each in re.findall(r"iteration (\d+) of 60", caplog.text)]
    assert begun[-1] >= 20
    assert (tiny.results / "paper-seed0.json").exists()


def terminate_when_there(path: Path) -> None:
    """Send this process SIGTERM once training writes down how it goes."""
    while not path.exists():
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGTERM)


def test_mistakes_are_named_before_anything_is_run(
    tiny: Tiny, caplog: pytest.LogCaptureFixture
) -> None:
    assert tiny.run("--rows", "paper, veiw", "--seeds", "one") == 1
    for mistake in ("--rows veiw: use paper, view", "--seeds one: whole numbers"):
        assert mistake in caplog.text
    assert not tiny.runs.exists()


def test_dataset_of_people_is_needed(
    tiny: Tiny, nobody: Path, caplog: pytest.LogCaptureFixture
) -> None:
    alone = replace(tiny, stores=(nobody, nobody))
    assert alone.run("--rows", "paper") == 1
    assert f"at least one that shows people, beside {nobody}" in caplog.text


def written_result(folder: Path, row: str, seed: int, together: float, **other: Any) -> None:
    """Write what a row would have left, with the same share for all that is not said."""
    shares = {"samples": 9, "portrait_iou": 0.9, "boundary_iou": 0.5}
    parts = {"compositions": 0.5, "re-framings": 0.5, "together": together}
    result = {
        "row": row,
        "seed": seed,
        "recipe_sha256": sha256_of(row_recipe(row)),
        "photos_sha256": "a",
        "datasets": ["pairs"],
        "iterations": 3,
        "precision": "fp32",
        "validation": {"pairs": shares},
        "losses": {"mean": 1.0, "worst": 2.0, "worst_of": "pairs, grey"},
        "web_portraits": {name: {"photos": 2, "portrait_iou": x} for name, x in parts.items()},
        "nobody_over_two_percent": {"val": {"photos": 3, "share": 0.1}},
        "seconds": {"training": 60.0, "judging": 60.0},
        "device": "cpu",
        "threads": 1,
        "commit": "0123456789",
        "versions": {"torch": "2"},
        **other,
    }
    folder.mkdir(exist_ok=True)
    (folder / f"{row}-seed{seed}.json").write_text(json.dumps(result))


def test_differences_are_seed_by_seed(tmp_path: Path) -> None:
    written_result(tmp_path, "paper", 0, 0.80)
    written_result(tmp_path, "paper", 1, 0.84)
    written_result(tmp_path, "view", 1, 0.90)
    document = render_document(tmp_path)
    assert "| 82.00 ± 2.83 |" in document
    assert "| 90.00 (+6.00) |" in document
    assert "together: `view` +6.00." in document
    assert "- `paper`, seeds 0, 1:" in document
    assert "together 4.00" in document


def test_results_that_cannot_be_compared_are_refused(tmp_path: Path) -> None:
    written_result(tmp_path, "paper", 0, 0.80)
    written_result(tmp_path, "view", 0, 0.80, photos_sha256="b")
    with pytest.raises(ValueError, match='differ in photos_sha256: "a", "b"'):
        render_document(tmp_path)
