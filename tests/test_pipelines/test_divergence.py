"""Runs that diverge at the learning rate of the recipe, though not at half of it.

Decay alone multiplies the one weight of a linear classifier by 1 - rate * decay in every step: by
-2.9 at the whole rate, by -0.95 at half of it.
"""

import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

from models import MODELS
from models.prediction import Prediction
from models.registry import ModelSpec
from pipelines.errors import BanetError
from pipelines.progress import SilentProgress
from pipelines.train import TrainOptions, TrainSummary, train

MODEL = "linear"
RECIPE = """
iterations = 120
validate_every = 1000
size = 32
batch_size = 2
learning_rate = 1.0
power = 0.0
momentum = 0.0
weight_decay = 3.9
"""

Train = Callable[..., TrainSummary]


class Linear(nn.Module):
    """Sees three channels at a time, pixel by pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.weigh = nn.Conv2d(3, 1, kernel_size=1)

    def forward(self, image: torch.Tensor) -> Prediction:
        return Prediction(portrait=self.weigh(image), boundary=None)


@pytest.fixture
def train_linear(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Train:
    """Train the linear classifier in a folder of the given name."""
    monkeypatch.setitem(MODELS, MODEL, ModelSpec(build=Linear))
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPE)

    def run(name: str, *, progress: SilentProgress | None = None, **changes: object):
        values = {"model": MODEL, "recipe": str(recipe), "precision": "fp32", "device": "cpu"}
        options = TrainOptions(datasets=(prepared,), out=tmp_path / name, **{**values, **changes})
        return train(options, progress=progress)

    return run


def rows(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_diverging_run_goes_on_from_its_checkpoint_at_half_the_rate(
    train_linear: Train, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert train_linear("run").iterations == 120
    first, *others = rows(tmp_path / "run")
    assert (first["iteration"], first["divergences"], first["learning_rate_factor"]) == (0, 1, 0.5)
    assert {row["learning_rate"] for row in others if "learning_rate" in row} == {0.5}
    last = tmp_path / "run" / "last"
    assert f"going back to iteration 0, saved in {last}, at half the learning rate" in caplog.text
    assert "0.5 instead of 1" in caplog.text


class InterruptAt(SilentProgress):
    def __init__(self, step: int) -> None:
        self.remaining = step

    def advance(self, steps: int = 1, status: str = "") -> None:  # noqa: ARG002 - protocol
        self.remaining -= steps
        if self.remaining == 0:
            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("step", [50, 150])
def test_resumed_run_diverges_as_an_uninterrupted_one(
    train_linear: Train, tmp_path: Path, step: int
) -> None:
    train_linear("whole")
    with pytest.raises(KeyboardInterrupt):
        train_linear("cut", progress=InterruptAt(step))
    train_linear("cut", resume=True)
    whole, cut = (tmp_path / name / "last" / "state.safetensors" for name in ("whole", "cut"))
    torch.testing.assert_close(load_file(cut), load_file(whole), rtol=0, atol=0)
    assert facts(cut)["divergences"] == facts(whole)["divergences"] == 1


def facts(state: Path) -> dict[str, object]:
    with safe_open(state, framework="pt") as file:
        return json.loads(file.metadata()["facts"])


class EndlessGradient(Linear):
    """Has a loss that is finite, and a gradient that never is."""

    def forward(self, image: torch.Tensor) -> Prediction:
        prediction = super().forward(image)
        if prediction.portrait.requires_grad:
            prediction.portrait.register_hook(lambda gradient: gradient * torch.inf)
        return prediction


def test_gradients_that_are_infinite_at_any_scale_are_noticed(
    train_linear: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(MODELS, MODEL, ModelSpec(build=EndlessGradient))
    monkeypatch.setattr("pipelines.train.resolve_precision", lambda *_, **__: torch.float16)
    with pytest.raises(BanetError, match="the gradient is not finite at any scale of the loss at "):
        train_linear("run")
    assert rows(tmp_path / "run")[0]["diverged_at"] == 16  # the 17th step: the scale was 2 ** 16


def test_third_divergence_ends_the_run_with_advice(
    train_linear: Train, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(
        BanetError, match=r"even after going back .* 2 times.*lower --learning-rate"
    ):
        train_linear("run", learning_rate=1e30)
    assert caplog.text.count("going back to iteration 0") == 2
    assert [row["divergences"] for row in rows(tmp_path / "run")] == [1, 2]
