"""The whole chain through the real command: prepare, train, evaluate, segment."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from banet_cli.app import run

QUICK = ("--batch-size", "2", "--size", "64", "--device", "cpu")

PHOTOS = 100
"""Of a segmentation that is interrupted: more than are done before the signal comes."""


@pytest.fixture(scope="module")
def dataset(drawn_pairs, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("chain") / "drawn.zarr"
    arguments = ["prepare", str(drawn_pairs), str(path), "--size", "64", "--split", "0.5,0.5,0"]
    assert run([*arguments, "--workers", "0", "--quiet"]) == 0
    return path


@pytest.fixture(scope="module")
def weights(dataset) -> Path:
    out = dataset.parent / "run"
    arguments = ["train", str(dataset), "--out", str(out), "--iterations", "4", *QUICK]
    assert run([*arguments, "--quiet"]) == 0
    return out / "weights.safetensors"


def test_prepare_accounts_for_every_pair(banet, drawn_pairs):
    outcome = banet("prepare", drawn_pairs, "data.zarr", "--size", "64", "--json")
    assert outcome.exit_code == 0, outcome.stderr
    summary = outcome.summary
    parts = [summary[key] for key in ("stored", "duplicates", "missing", "failed")]
    assert summary["discovered"] == sum(parts) == 12
    assert sum(summary["splits"].values()) == summary["stored"]


def test_train_reports_its_best(banet, dataset):
    arguments = ("--out", "run", "--iterations", "2", *QUICK, "--json")
    outcome = banet("train", dataset, *arguments)
    assert outcome.exit_code == 0, outcome.stderr
    assert outcome.summary["iterations"] == 2
    assert Path(outcome.summary["weights"]).is_file()


def test_train_does_not_overwrite_a_run(banet, dataset, weights):
    outcome = banet("train", dataset, "--out", weights.parent, *QUICK)
    assert outcome.exit_code == 1
    assert "--resume" in outcome.stderr


def test_evaluate_gives_one_result_per_weights(banet, dataset, weights):
    named = ("--weights", weights, "--weights", weights)
    outcome = banet("evaluate", dataset, *named, "--device", "cpu", "--json")
    assert outcome.exit_code == 0, outcome.stderr
    assert len(outcome.summary["results"]) == 2
    assert 0 <= outcome.summary["results"][0]["portrait_iou"] <= 1


def test_segment_writes_masks_and_says_so(banet, drawn_pairs, weights):
    photos = drawn_pairs / "images"
    outcome = banet("segment", photos, "--out", "cut", "--weights", weights, "--json")
    assert outcome.exit_code == 0, outcome.stderr
    summary = outcome.summary
    assert summary["discovered"] == 12
    assert sum(summary[key] for key in ("ok", "empty", "failed", "skipped")) == 12
    with Image.open("cut/masks/0.png") as mask:
        assert (mask.mode, mask.size) == ("L", (48, 64))


def test_a_bad_photo_exits_3_and_is_listed(banet, weights):
    Path("photos").mkdir()
    Image.new("RGB", (40, 40)).save("photos/good.png")
    Path("photos/bad.jpg").write_bytes(b"not a photo")
    outcome = banet("segment", "photos", "--weights", weights)
    assert outcome.exit_code == 3
    assert "bad.jpg" in outcome.stderr
    assert outcome.stdout == ""


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM to send")
@pytest.mark.parametrize(("sent", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_training_says_so(dataset, sent, exit_code):
    arguments = ["train", str(dataset), "--out", "run", "--iterations", "100000", *QUICK]
    arguments += ["--size", "32"]
    with subprocess.Popen(
        [sys.executable, "-m", "banet_cli", *arguments], stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        while process.poll() is None and not Path("run/metrics.jsonl").exists():
            time.sleep(0.05)
        process.send_signal(sent)
        rest = process.stderr.read()
    assert process.returncode == exit_code
    assert rest.endswith("interrupted; run the command again with --resume to complete it\n")
    assert re.search(r"saved at iteration \d+; add --resume to go on from there", rest)
    assert "Traceback" not in rest


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM to send")
@pytest.mark.parametrize(("sent", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_segmentation_goes_on_where_it_was(banet, weights, sent, exit_code):
    Path("photos").mkdir()
    for index in range(PHOTOS):
        Image.effect_noise((400, 300), 50).convert("RGB").save(f"photos/{index}.jpg")
    arguments = ["segment", "photos", "--weights", str(weights), "--workers", "2"]
    with subprocess.Popen(
        [sys.executable, "-m", "banet_cli", *arguments], stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        while process.poll() is None and len(rows_of_segmented_photos()) < 4:
            time.sleep(0.01)
        process.send_signal(sent)
        messages = process.stderr.read()
    assert process.returncode == exit_code, messages
    assert messages.endswith("interrupted; run the command again to complete it\n")
    assert "Traceback" not in messages
    rows = rows_of_segmented_photos()
    assert 4 <= len(rows) < PHOTOS
    masks = {str(path) for path in Path("photos-segmented").glob("masks/*")}
    assert masks == {f"photos-segmented/{row['mask']}" for row in rows}

    rest = banet(*arguments, "--json").summary

    assert (rest["skipped"], rest["ok"] + rest["empty"]) == (len(rows), PHOTOS - len(rows))


def rows_of_segmented_photos():
    ledger = Path("photos-segmented/results.jsonl")
    lines = ledger.read_bytes().splitlines(keepends=True) if ledger.exists() else []
    return [json.loads(line) for line in lines if line.endswith(b"\n")]
