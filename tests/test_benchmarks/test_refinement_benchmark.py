import json
from pathlib import Path

import numpy as np
import pytest
import refinement
from known_alpha import draw_portrait, seen_by_a_network

from pipelines.refinement import refined_mask


@pytest.fixture
def small_portrait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refinement, "HEIGHT", 400)
    monkeypatch.setattr(refinement, "WIDTH", 300)
    monkeypatch.setattr(refinement, "REPEATS", 1)


@pytest.mark.usefixtures("small_portrait")
def test_stores_and_their_originals_are_judged(
    prepared: Path, pairs_folder: Path, weights_file: str, tmp_path: Path
) -> None:
    path = tmp_path / "refinement.json"

    refinement.main(
        [prepared], originals=pairs_folder, weights=weights_file, split="val", json_file=path
    )

    found = json.loads(path.read_text())
    stored, originals = found["photos"]
    assert stored["count"] == originals["count"] > 0
    for result in (stored, originals):
        assert result["better"] + result["worse"] <= 1
        assert all(0 <= score <= 1 for score in result["refined"].values())
    assert [result["mask"] for result in found["known_alpha"]] == ["plain", "refined"]


def test_the_drawn_portrait_is_told_from_its_background() -> None:
    photo, true = draw_portrait(height=1000, width=750)
    alpha = seen_by_a_network(true)

    errors = [
        np.abs(mask / 255 - true).mean()
        for mask in (
            refinement.soft_mask(alpha, height=1000, width=750),
            refined_mask(alpha, photo),
        )
    ]

    assert errors[1] < 0.75 * errors[0]
