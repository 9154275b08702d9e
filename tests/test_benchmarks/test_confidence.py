import json
from pathlib import Path

import confidence
import numpy as np
import pytest
import typer
from confidence import CONFIDENCE, POOR, STATISTICS, Judged, auroc, levels_of


def photo(iou: float, value: float) -> Judged:
    return Judged(dataset="d", iou=iou, values={CONFIDENCE: value})


def test_auroc_is_the_share_of_pairs_in_the_right_order() -> None:
    photos = [photo(0.5, 0.1), photo(0.8, 0.6), photo(0.95, 0.4), photo(0.99, 0.6)]

    assert auroc(CONFIDENCE, photos) == pytest.approx((1 + 1 + 0 + 0.5) / 4)
    assert auroc(CONFIDENCE, photos[2:]) is None


def test_levels_go_from_doubtful_to_sure_photos() -> None:
    levels = levels_of([photo(value, value) for value in np.linspace(0, 1, 11)])

    assert sum(level.photos for level in levels) == 11
    assert [level.portrait_iou for level in levels] == sorted(lv.portrait_iou for lv in levels)
    assert (levels[0].poor, levels[-1].poor) == (1, 0)
    assert levels[-1].confidence[1] == 1


@pytest.mark.parametrize("name", STATISTICS)
def test_every_statistic_prefers_a_sure_person_to_a_doubtful_one(name: str) -> None:
    sure, doubtful = (np.full((40, 30), 0.01, np.float32) for _ in range(2))
    sure[10:30, 10:20] = 0.99
    doubtful[10:30, 10:20] = 0.85
    doubtful[15:20, 10:20] = 0.45

    assert STATISTICS[name](doubtful) <= STATISTICS[name](sure)


def test_results_hold_the_auroc_of_all_statistics(
    prepared: Path, weights_file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    confidence.main([prepared], weights=weights_file, every=2, json_file=tmp_path / "out.json")

    content = json.loads((tmp_path / "out.json").read_text())
    assert [each["statistic"] for each in content["rankings"]] == list(STATISTICS)
    assert (content["split"], content["poor_below"]) == ("val", POOR)
    assert content["photos"] == sum(level["photos"] for level in content["levels"]) > 0
    assert CONFIDENCE in capsys.readouterr().out


def test_a_missing_dataset_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit):
        confidence.main([tmp_path / "nowhere.zarr"])

    assert "nowhere.zarr" in capsys.readouterr().err
