import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import robustness
import typer
from changes import CHANGES
from contact_sheet import MISSED, WRONGLY_KEPT, error_map
from held_out import grounds
from numpy.typing import NDArray
from PIL import Image
from robustness_scores import judge
from web_portraits import compositions, reframings

from pipelines.errors import InputError
from pipelines.evaluate import EvaluateOptions, evaluate
from pipelines.images import Pixels
from pipelines.store import Store, open_store


@pytest.fixture
def people(prepared: Path) -> Store:
    return open_store(prepared)


def bright_figure(photo: Pixels) -> NDArray[np.float32]:
    """Predict without error: the figures are by far the brightest, and grounds alone are dark."""
    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)
    return (grey > max(0.6 * grey.max(), 40)).astype(np.float32)


def test_who_makes_no_error_loses_nothing(people: Store, nobody: Path) -> None:
    found = judge(bright_figure, [people], open_store(nobody), count=6)

    assert [score.change for score in found.changes] == list(CHANGES)
    for score in found.changes:
        assert score.portrait_iou > 0.93, score
        assert abs(score.difference) < 6, score
    assert [score.part for score in found.web_portraits] == ["compositions", "re-framings", "both"]
    for portraits in found.web_portraits:
        assert portraits.portrait_iou > 0.93, portraits
        assert portraits.poor == 0
    for alone in found.nobody:
        assert alone.over_half_percent == 0


def test_who_sees_people_everywhere_is_found_out(people: Store, nobody: Path) -> None:
    def everywhere(photo: Pixels) -> NDArray[np.float32]:
        return np.ones(photo.shape[:2], np.float32)

    found = judge(everywhere, [people], open_store(nobody), count=6)

    assert found.web_portraits[-1].poor > 0.5
    assert [(alone.split, alone.over_two_percent) for alone in found.nobody] == [
        ("val", 1),
        ("all", 1),
    ]
    ious = [photo.portrait_iou for photo in found.worst]
    assert ious == sorted(ious)


def test_people_cut_by_the_bottom_reach_it_in_every_composition(
    people: Store, nobody: Path
) -> None:
    backgrounds = grounds(open_store(nobody), "val")
    for photo, mask in compositions([people], "val", backgrounds, count=20):
        assert photo.shape == (*mask.shape, 3)
        assert mask[-1].max() == 255


def test_web_portraits_are_the_same_every_time(people: Store, nobody: Path) -> None:
    backgrounds = grounds(open_store(nobody), "val")

    def made() -> list[tuple[Pixels, Pixels]]:
        return [
            *compositions([people], "val", backgrounds, count=4),
            *reframings([people], "val", count=4),
        ]

    for (photo, mask), (again, mask_again) in zip(made(), made(), strict=True):
        assert np.array_equal(photo, again)
        assert np.array_equal(mask, mask_again)


def test_photos_without_people_cannot_be_cut_out(nobody: Path) -> None:
    with pytest.raises(InputError, match="shows nobody"):
        list(reframings([open_store(nobody)], "val", count=1))


def test_errors_have_the_colours_that_the_title_names() -> None:
    mask = np.array([[255, 255, 0, 0]], np.uint8)
    kept = np.array([[255, 0, 255, 0]], np.uint8)
    found = error_map(np.full((1, 4, 3), 128, np.uint8), kept, mask)[0].astype(int)
    assert found[0].tolist() == found[3].tolist() == [128, 128, 128]
    for pixel, colour in ((found[1], MISSED), (found[2], WRONGLY_KEPT)):
        assert np.argmax(pixel) == np.argmax(colour)


def test_script_writes_figures_and_sheet(
    prepared: Path,
    nobody: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(robustness, "PHOTOS", 2)
    json_file, sheet = tmp_path / "out.json", tmp_path / "worst.jpg"

    robustness.main([prepared], nobody=nobody, json_file=json_file, sheet=sheet)

    assert "other ground" in capsys.readouterr().out
    content = json.loads(json_file.read_text())
    (weights,) = content["weights"]
    assert len(weights["sha256"]) == 64
    assert [each["name"] for each in content["datasets"]] == ["pairs", "nobody"]
    (scored,) = evaluate(EvaluateOptions(datasets=(prepared,))).results
    plain = weights["changes"][0]
    assert plain["portrait_iou"] == pytest.approx(scored.scores.portrait_iou, abs=1e-4)
    assert len(weights["worst"]) == plain["photos"] == scored.scores.samples
    with Image.open(sheet) as picture:
        assert picture.format == "JPEG"


def test_dataset_that_is_not_there_is_named(
    prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit):
        robustness.main([prepared], nobody=tmp_path / "nowhere.zarr")
    assert f"{tmp_path / 'nowhere.zarr'}: no such dataset" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("sheet", "reason"),
    [
        (robustness.REPOSITORY / "docs" / "worst.jpg", "must not enter the repository"),
        (Path("nowhere") / "worst.jpg", "there is no folder nowhere"),
    ],
)
def test_sheet_that_cannot_be_written_is_refused_at_once(
    prepared: Path, nobody: Path, sheet: Path, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit):
        robustness.main([prepared], nobody=nobody, sheet=sheet)
    assert reason in capsys.readouterr().err
