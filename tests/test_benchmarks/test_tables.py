import json
import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import tables
from cells import FRONTIER, TABLE_2, TABLE_3
from reproduction import render_document

from models import MODELS
from pipelines.locks import exclusive


@pytest.fixture(autouse=True)
def surroundings() -> Iterator[None]:
    """Take back what the driver changes in its process."""
    models, handler = dict(MODELS), signal.getsignal(signal.SIGTERM)
    yield
    MODELS.clear()
    MODELS.update(models)
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture
def budget(tmp_path: Path) -> Path:
    """A recipe of a second."""
    recipe = tmp_path / "tiny.toml"
    recipe.write_text("iterations = 3\nsize = 32\nbatch_size = 2\nvalidate_every = 2\n")
    return recipe


@pytest.fixture
def results(tmp_path: Path, budget: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let cells be run under a budget of seconds, with results in a folder of the test."""
    monkeypatch.setattr(tables, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(tables, "BUDGETS", {"small": str(budget)})
    return tmp_path / "results"


def test_document_is_what_the_results_give() -> None:
    assert tables.DOCUMENT.read_text(encoding="utf-8") == render_document(
        Path(tables.__file__).parent / "results"
    ), "write it anew: python benchmarks/tables.py render"


def test_every_row_of_the_paper_has_a_network() -> None:
    assert {*TABLE_2, *TABLE_3} <= set(MODELS)


def test_cells_that_were_not_run_say_so(tmp_path: Path) -> None:
    document = render_document(tmp_path)
    for row in TABLE_2.values():
        assert f"| {row.title} |" in document
    assert "holds" not in document
    assert "above" not in document
    assert document.count("not run") > len(TABLE_2) + len(TABLE_3) + len(FRONTIER)


def test_cell_is_trained_and_scored_once(
    prepared: Path, results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables.run([prepared], runs=tmp_path / "runs", models="banet-64-base", seeds="0,1")
    cells = [json.loads(path.read_text()) for path in sorted(results.rglob("*.json"))]
    assert [(cell["model"], cell["seed"]) for cell in cells] == [
        ("banet-64-base", 0),
        ("banet-64-base", 1),
    ]
    for cell in cells:
        assert cell["iterations"] == 3
        assert 0 <= cell["scores"]["portrait_iou"] <= 1
    monkeypatch.setattr(tables, "train", pytest.fail)  # a cell that is there is not run again
    tables.run([prepared], runs=tmp_path / "runs", models="banet-64-base", seeds="0,1")


def test_document_shows_the_cells_with_their_spread(
    prepared: Path, results: Path, tmp_path: Path
) -> None:
    tables.run([prepared], runs=tmp_path / "runs", models="enet", seeds="0,1")
    document = render_document(results)
    (line,) = (line for line in document.splitlines() if line.startswith("| ENet | `enet` |"))
    assert "(2 seeds)" in line


def test_cell_that_was_killed_before_it_saved_anything_starts_anew(
    prepared: Path, results: Path, tmp_path: Path
) -> None:
    torn = tmp_path / "runs" / "small" / "enet-seed0"
    torn.mkdir(parents=True)
    (torn / "config.toml").write_text("seed = 5\n")
    tables.run([prepared], runs=tmp_path / "runs", models="enet")
    assert (results / "small" / "enet-seed0.json").exists()


def test_terminated_cell_goes_on_where_it_was(
    prepared: Path,
    results: Path,
    tmp_path: Path,
    budget: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    budget.write_text("iterations = 200\nsize = 32\nbatch_size = 2\nvalidate_every = 200\n")
    metrics = tmp_path / "runs" / "small" / "banet-64-base-seed0" / "metrics.jsonl"
    threading.Thread(target=terminate_when_there, args=(metrics,)).start()
    with pytest.raises(KeyboardInterrupt):
        tables.run([prepared], runs=tmp_path / "runs", models="banet-64-base")
    assert not list(results.rglob("*.json"))

    with caplog.at_level("INFO"):
        tables.run([prepared], runs=tmp_path / "runs", models="banet-64-base")

    begun = [int(each) for each in re.findall(r"iteration (\d+) of 200", caplog.text)]
    assert begun[-1] >= 20
    assert len(list(results.rglob("*.json"))) == 1


def terminate_when_there(path: Path) -> None:
    """Send this process SIGTERM once training writes down how it goes."""
    while not path.exists():
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGTERM)


def test_cell_of_another_process_is_left_to_it(
    prepared: Path, results: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "runs" / "small" / "enet-seed0"
    with exclusive(folder.with_suffix(".lock"), place=folder):
        tables.run([prepared], runs=tmp_path / "runs", models="enet")
    assert not list(results.rglob("*.json"))
    assert not folder.exists()


def test_mistakes_are_named_before_anything_is_run(
    prepared: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    arguments = ["--models", "enet, ent", "--seeds", "one", "--budget", "large"]
    code = tables.main(["run", str(prepared), "--runs", str(tmp_path / "runs"), *arguments])
    assert code == 1
    for mistake in ("--models ent: use enet", "--seeds one: whole", "--budget large: use small"):
        assert mistake in caplog.text
    assert not (tmp_path / "runs").exists()


def test_cells_that_cannot_be_compared_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    for seed, precision in enumerate(("fp32", "bf16")):
        cell = {"model": "enet", "photos_sha256": "a", "recipe_sha256": "b", "precision": precision}
        (folder / f"enet-seed{seed}.json").write_text(json.dumps(cell))
    with pytest.raises(ValueError, match="differ in precision: bf16, fp32"):
        render_document(tmp_path)


def test_speed_counts_variants_that_the_registry_does_not_have(results: Path) -> None:
    tables.speed(device="cpu", repeats=1, size=32, models="banet-64,fusion-64-32-16")
    speed = json.loads((results / "speed-cpu.json").read_text())
    assert [row["name"] for row in speed["models"]] == ["banet-64", "fusion-64-32-16"]
    assert speed["models"][1]["gflops"] > speed["models"][0]["gflops"]
    assert "| `fusion-64-32-16` | not run | not run | 0.63 |" in render_document(results)


@pytest.mark.parametrize(
    ("scores", "verdict"),
    [
        ((0.90, 0.91, 0.92), "above (+10.00"),
        ((0.70, 0.71, 0.72), "below (-10.00"),
        ((0.90, 0.70, 0.82), "too close to tell"),
    ],
)
def test_order_is_claimed_only_where_the_seeds_agree(
    tmp_path: Path, scores: tuple[float, ...], verdict: str
) -> None:
    (tmp_path / "small").mkdir()
    for name, values in (("banet-64-base", (0.80, 0.81, 0.82)), ("banet-64-attention", scores)):
        for seed, value in enumerate(values):
            shares = dict.fromkeys(("portrait_iou", "miou", "boundary_iou"), value)
            cell = {"model": name, "seed": seed, "scores": {**shares, "samples": 9}}
            cell |= {"photos_sha256": "a", "recipe_sha256": "b", "precision": "fp32"}
            (tmp_path / "small" / f"{name}-seed{seed}.json").write_text(json.dumps(cell))
    (tmp_path / "small" / "x.json").write_text(json.dumps({**cell, "model": "banet-64"}))
    document = render_document(tmp_path)
    line = "- `banet-64-attention` against `banet-64-base` by portrait IoU: "
    assert line + verdict in document
