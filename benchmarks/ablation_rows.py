"""The rows of the ablation: what each changes in the base recipe."""

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BASE = Path(__file__).parent / "recipes" / "ablation.toml"

REFERENCE = "paper"
"""The row that changes nothing."""

Change = dict[str, Any]
"""Keys of a recipe, those of `augmentation` after its name and a dot, and their values."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One recipe of the ablation.

    Attributes:
        change: To the recipe of the row `on`.
        on: Name of that row; None for the base recipe itself.
    """

    change: Change = field(default_factory=dict)
    on: str | None = REFERENCE


ROWS = {
    REFERENCE: Row(on=None),
    "view": Row(change={"augmentation.view": 0.6}),
    "lightness": Row(change={"augmentation.lightness": [0.5, 1.5]}),
    "grey": Row(change={"augmentation.grey": 0.1}),
    "colour": Row(change={"augmentation.colour": 0.5}),
    "compression": Row(change={"augmentation.compression": 0.3}),
    "blur": Row(change={"augmentation.blur": 0.2}),
    "noise": Row(change={"augmentation.noise": 0.2}),
    "background": Row(change={"augmentation.background": 0.5}),
    "view+background": Row(change={"augmentation.view": 0.6, "augmentation.background": 0.5}),
    "all": Row(
        change={
            "augmentation.rotation": 20.0,
            "augmentation.lightness": [0.5, 1.5],
            "augmentation.view": 0.6,
            "augmentation.grey": 0.1,
            "augmentation.colour": 0.5,
            "augmentation.compression": 0.2,
            "augmentation.blur": 0.1,
            "augmentation.noise": 0.15,
            "augmentation.background": 0.4,
        }
    ),
    "all-sgd": Row(
        on="all",
        change={
            "optimizer": "sgd",
            "learning_rate": 0.1,
            "momentum": 0.9,
            "weight_decay": 1e-4,
            "clip": 0.0,
            "ema": 0.0,
        },
    ),
    "all-no-ema": Row(on="all", change={"ema": 0.0}),
    "all-no-refine": Row(on="all", change={"refine_weight": 0.0}),
}


def change_to_base(name: str) -> Change:
    """Return all that a row changes in the base recipe."""
    row = ROWS[name]
    return row.change if row.on is None else {**change_to_base(row.on), **row.change}


def row_recipe(name: str) -> dict[str, Any]:
    """Return the recipe of a row as the content of its TOML file."""
    recipe = tomllib.loads(BASE.read_text(encoding="utf-8"))
    for key, value in change_to_base(name).items():
        *tables, last = key.split(".")
        table = recipe
        for each in tables:
            table = table.setdefault(each, {})
        table[last] = value
    return recipe
