import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from models import build_model
from pipelines import evaluate as module
from pipelines.checkpoints import WeightsInfo, save_weights
from pipelines.errors import BanetError, ConfigError, InputError, WeightsError
from pipelines.evaluate import EvaluateOptions, evaluate
from pipelines.scoring import score_mask, summarise


@pytest.fixture
def blind(tmp_path: Path) -> str:
    """Weights that call every pixel a person, whatever they see."""
    network = build_model("banet-64")
    with torch.no_grad():
        network.classify.weight.zero_()
        network.classify.bias.fill_(9.0)
    path = tmp_path / "blind.safetensors"
    save_weights(path, network, WeightsInfo(model="banet-64", temperature=2.0, size=48))
    return str(path)


def test_scores_of_weights_whose_masks_are_known(prepared: Path, blind: str) -> None:
    summary = evaluate(
        EvaluateOptions(datasets=(prepared,), weights=(blind,), split="all", device="cpu")
    )
    (result,) = summary.as_json()["results"]
    assert (result["name"], result["samples"], result["size"]) == (blind, 24, 48)
    # All portrait: the IoU of a photo is its share of person, background IoU is zero.
    assert result["portrait_iou"] == pytest.approx(0.35, abs=0.05)
    assert result["miou"] == pytest.approx(result["portrait_iou"] / 2, abs=0.01)
    assert result["mae"] == pytest.approx(1 - result["portrait_iou"], abs=0.01)


def test_several_weights_and_datasets_are_scored_each(prepared: Path, blind: str) -> None:
    summary = evaluate(
        EvaluateOptions(datasets=(prepared, prepared), weights=(blind, blind), device="cpu")
    )
    assert len(summary.results) == 4


def test_report_lists_every_photo(prepared: Path, blind: str, tmp_path: Path) -> None:
    out = tmp_path / "report"
    summary = evaluate(
        EvaluateOptions(datasets=(prepared,), weights=(blind,), out=out, device="cpu")
    )
    assert json.loads((out / "metrics.json").read_text()) == summary.as_json()
    with (out / "samples.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == summary.results[0].scores.samples
    mean = np.mean([float(row["portrait_iou"]) for row in rows])
    assert mean == pytest.approx(summary.results[0].scores.portrait_iou, abs=1e-5)


def test_empty_split_says_what_there_is(prepared: Path, blind: str) -> None:
    with pytest.raises(InputError, match=r"no samples in the split 'test' \(it has train \d+, val"):
        evaluate(EvaluateOptions(datasets=(prepared,), weights=(blind,), split="test"))


def test_a_cpu_without_memory_is_explained(
    prepared: Path, blind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Exhausted:
        device = torch.device("cpu")

        def __call__(self, *_: object) -> None:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(module, "make_engine", lambda *_, **__: Exhausted())

    with pytest.raises(BanetError, match=r"cpu: not enough memory .* a smaller --size$"):
        evaluate(EvaluateOptions(datasets=(prepared,), weights=(blind,), device="cpu"))


def test_weights_without_numbers_are_refused(prepared: Path, spoilt_weights: str) -> None:
    with pytest.raises(WeightsError, match=r"spoilt.*photo .*: the network's answer is not"):
        evaluate(EvaluateOptions(datasets=(prepared,), weights=(spoilt_weights,), device="cpu"))


def test_bad_options_are_named_together() -> None:
    with pytest.raises(ConfigError, match=r"DATASET: .*--split best.*--size 3"):
        EvaluateOptions(datasets=(), split="best", size=3)


def test_scores_by_hand() -> None:
    # Truth: left half. Prediction: left quarter sure, next quarter 0.6, rest 0.
    target = np.zeros((4, 8), np.uint8)
    target[:, :4] = 255
    probability = np.zeros((4, 8), np.float32)
    probability[:, :2], probability[:, 2:3] = 1.0, 0.6
    scores = summarise([score_mask(probability, target)])
    assert scores.portrait_iou == pytest.approx(12 / 16)
    assert scores.mae == pytest.approx((0.4 * 4 + 1.0 * 4) / 32)
    assert scores.sad == pytest.approx((0.4 * 4 + 1.0 * 4) / 1000)


def test_no_photo_cannot_be_summarised() -> None:
    with pytest.raises(ValueError, match="no photo"):
        summarise([])
