"""What `banet prepare` tells of the doctor."""

import shutil
from pathlib import Path

import pytest
from PIL import Image


@pytest.fixture
def faulty(drawn_pairs: Path, tmp_path: Path) -> Path:
    root = Path(shutil.copytree(drawn_pairs, tmp_path / "faulty"))
    Image.new("L", (48, 64)).save(root / "masks" / "5.png")
    return root


def test_clean_dataset_ends_with_zero_and_no_findings(banet, drawn_pairs):
    outcome = banet("prepare", drawn_pairs, "out.zarr", "--size", "64", "--check", "--json")
    assert outcome.exit_code == 0
    assert outcome.summary["findings"] == {}


def test_warnings_are_shown_with_what_to_do_and_end_with_zero(banet, faulty):
    outcome = banet("prepare", faulty, "out.zarr", "--size", "64", "--check")
    assert outcome.exit_code == 0
    assert "empty-mask" in outcome.stderr
    assert "keep it if there is nobody in the photo" in " ".join(outcome.stderr.split())


def test_errors_end_with_three(banet, faulty):
    (faulty / "images" / "3.png").write_bytes(b"x")
    outcome = banet("prepare", faulty, "out.zarr", "--size", "64", "--check", "--json")
    assert outcome.exit_code == 3
    assert outcome.summary["findings"] == {"photo-unreadable": 1, "empty-mask": 1}
    assert {each["severity"] for each in outcome.summary["found"]} == {"error", "warning"}


def test_a_quiet_run_still_warns(banet, faulty):
    outcome = banet("prepare", faulty, "out.zarr", "--size", "64", "--quiet")
    assert "the doctor found: 1 empty-mask" in outcome.stderr


def test_every_finding_is_told_on_demand(banet, faulty):
    outcome = banet("prepare", faulty, "out.zarr", "--size", "64", "--check", "--verbose")
    assert "5: empty-mask: the mask shows nobody" in outcome.stderr
