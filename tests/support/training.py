"""Short training runs."""

import json
from pathlib import Path

from pipelines.train import TrainOptions

RECIPE = """
validate_every = 3
size = 48
batch_size = 4
learning_rate = 0.05
shapes = [[1.0, 0.75], [0.75, 1.0]]

[augmentation]
view = 0.5

[[stages]]
iterations = 4
refine_weight = 0.0

[[stages]]
iterations = 5
warmup = 2
"""
"""Two stages of 9 iterations together, validated after 3, 6 and 9."""


def options(dataset: Path, out: Path, recipe: str, **changes: object) -> TrainOptions:
    """Return what trains on a CPU in full precision, but for `changes`."""
    defaults: dict[str, object] = {"precision": "fp32", "device": "cpu"}
    values = {**defaults, "datasets": (dataset,), "out": out, "recipe": recipe, **changes}
    return TrainOptions(**values)


def metrics(run: Path) -> list[dict[str, float]]:
    """Return the lines of `metrics.jsonl`."""
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
