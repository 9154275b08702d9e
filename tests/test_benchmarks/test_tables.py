import json
from pathlib import Path

import pytest
import tables
from cells import FRONTIER, TABLE_2, TABLE_3
from reproduction import render_document

from models import MODELS


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let cells be run under a budget of seconds, with results in a folder of the test."""
    recipe = tmp_path / "tiny.toml"
    recipe.write_text("iterations = 3\nsize = 32\nbatch_size = 2\nvalidate_every = 2\n")
    monkeypatch.setattr(tables, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(tables, "BUDGETS", {"small": str(recipe)})
    monkeypatch.setattr(tables, "MODELS", dict(MODELS))
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
    assert "3 iterations" in document


def test_interrupted_cell_goes_on_and_a_torn_one_starts_anew(
    prepared: Path, results: Path, tmp_path: Path
) -> None:
    torn = tmp_path / "runs" / "small" / "enet-seed0"
    torn.mkdir(parents=True)
    (torn / "config.toml").write_text("seed = 5\n")
    tables.run([prepared], runs=tmp_path / "runs", models="enet", seeds="0")
    assert (torn / "last").exists()
    (results / "small" / "enet-seed0.json").unlink()
    before = (torn / "weights.safetensors").read_bytes()
    tables.run([prepared], runs=tmp_path / "runs", models="enet", seeds="0")
    assert (results / "small" / "enet-seed0.json").exists()
    assert (torn / "weights.safetensors").read_bytes() == before
