"""Training recipes: TOML files that are validated as a whole."""

import math
import tomllib
from dataclasses import asdict, dataclass, field, replace
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, get_args

from pipelines.augmentation.settings import Augmentation
from pipelines.errors import ConfigError
from pipelines.inference import MINIMUM_SIZE
from pipelines.rules import (
    Rule,
    choice_rule,
    is_list,
    is_number,
    mistakes_in,
    number_rule,
    whole_rule,
)
from pipelines.sizes import working_size

RECIPES = ("quick", "pretrain", "finetune", "generalise", "polish", "paper")
"""Names that `--recipe` takes for files in the folder `recipes` of this package."""

MINIMUM_BATCH = 2
"""Batch normalisation of the deepest features needs more than one value per channel."""

OptimizerName = Literal["sgd", "adamw"]

Shapes = tuple[tuple[float, float], ...]


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stretch of training with its own schedule.

    Attributes:
        iterations: Optimizer steps.
        size: Longer side of the training views in pixels.
        batch_size: Views per step.
        learning_rate: Greatest rate, reached after the warm-up.
        warmup: Steps of linear warm-up.
        power: Of the polynomial decay after it.
        optimizer: The paper's SGD, or AdamW, which wants rates of about 0.001.
        momentum: Of SGD; of AdamW it is beta_1.
        weight_decay: L2 regularisation of all learnable parameters; AdamW decays neither biases
            nor the parameters of normalisation.
        clip: Greatest norm of the gradient of all parameters together, longer ones are shortened
            to it; 0 leaves them as they are.
        ema: Decay of the exponential moving average of the weights, which is then what is
            validated and kept; 0 keeps the weights themselves. Of n steps at most
            (1 + n) / (10 + n), so that the first weights are soon forgotten.
        refine_weight: gamma of Eq. 8; 0 leaves the refine loss out.
        shapes: Height and width of the views relative to `size`, brought to multiples of 16; each
            step draws one.
        datasets: Positions of the datasets to draw from, from 1, or -1 for the last; empty for all.
    """

    iterations: int
    size: int = 512
    batch_size: int = 16
    learning_rate: float = 0.1
    warmup: int = 0
    power: float = 0.9
    optimizer: OptimizerName = "sgd"
    momentum: float = 0.9
    weight_decay: float = 1e-4
    clip: float = 0.0
    ema: float = 0.0
    refine_weight: float = 0.1
    shapes: Shapes = ((1.0, 0.75),)
    datasets: tuple[int, ...] = ()
    augmentation: Augmentation = field(default_factory=Augmentation)

    @property
    def view_sizes(self) -> tuple[tuple[int, int], ...]:
        """Height and width in pixels for each of `shapes`, multiples of `STRIDE`."""
        return tuple(
            working_size(height=tall, width=wide, long_side=max(tall, wide) * self.size)
            for tall, wide in self.shapes
        )

    def rate_at(self, iteration: int) -> float:
        """Return the learning rate of an iteration of this stage, counted from 0.

        Paper is silent: the curve of figure 6. It rises linearly over `warmup` steps and then
        falls with (1 - t) to the power `power`.
        """
        if iteration < self.warmup:
            return self.learning_rate * (iteration + 1) / self.warmup
        progress = (iteration - self.warmup) / max(1, self.iterations - self.warmup)
        return float(self.learning_rate * (1 - progress) ** self.power)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Stages that follow each other, and how often progress is kept.

    Attributes:
        validate_every: Iterations between two validations, each of which saves a checkpoint.
    """

    stages: tuple[Stage, ...]
    validate_every: int = 500

    @property
    def iterations(self) -> int:
        """Sum over the stages."""
        return sum(stage.iterations for stage in self.stages)

    def stage_at(self, iteration: int) -> tuple[Stage, int]:
        """Return the stage of an iteration counted from 0, and the iteration within it."""
        for stage in self.stages:
            if iteration < stage.iterations:
                return stage, iteration
            iteration -= stage.iterations
        raise ValueError("iteration beyond the end of the recipe")

    def with_overrides(
        self,
        *,
        iterations: int | None,
        size: int | None,
        batch_size: int | None,
        learning_rate: float | None,
    ) -> "Recipe":
        """Replace values of every stage; `iterations` is a total, shared in proportion."""
        given = {"size": size, "batch_size": batch_size, "learning_rate": learning_rate}
        changes: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
        stages = tuple(replace(stage, **changes) for stage in self.stages)
        if iterations is not None:
            if iterations < len(stages):
                raise ConfigError(f"--iterations {iterations}: the recipe has {len(stages)} stages")
            share = iterations / self.iterations
            ends = [
                max(number, round(sum(stage.iterations for stage in stages[:number]) * share))
                for number in range(len(stages) + 1)
            ]
            stages = tuple(
                replace(stage, iterations=end - start, warmup=round(stage.warmup * share))
                for stage, (start, end) in zip(stages, pairwise(ends), strict=True)
            )
        return replace(self, stages=stages)

    def as_dict(self) -> dict[str, Any]:
        """Return nested plain values, as in the TOML file."""
        return asdict(self)


def load_recipe(name_or_path: str) -> Recipe:
    """Read and validate a recipe.

    Raises:
        ConfigError: There is none, it is no TOML, or some settings make no sense; all are named.
    """
    if name_or_path in RECIPES:
        source = Path(str(files("pipelines"))) / "recipes" / f"{name_or_path}.toml"
    else:
        source = Path(name_or_path)
        if not source.is_file():
            raise ConfigError(
                f"--recipe {name_or_path}: no such recipe; use {', '.join(RECIPES)} or a TOML file"
            )
    try:
        table = tomllib.loads(source.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ConfigError(f"--recipe {name_or_path}: not valid TOML: {error}") from error
    return recipe_from_table(table, where=f"recipe {name_or_path}")


def recipe_from_table(table: dict[str, Any], *, where: str) -> Recipe:
    """Build a recipe from the content of its file.

    Args:
        table: `validate_every`, `augmentation` and settings shared by all stages at the top, a
            list `stages` of tables below, whose own settings win.
        where: Named in errors.

    Raises:
        ConfigError: Some settings make no sense; all are named.
    """
    stage_tables = table.get("stages", [{}])
    if not isinstance(stage_tables, list) or not all(isinstance(t, dict) for t in stage_tables):
        raise ConfigError(f"{where}: stages: a list of tables, written [[stages]]")
    shared = {key: value for key, value in table.items() if key not in {"stages", *RECIPE_RULES}}
    top = {key: value for key, value in table.items() if key in RECIPE_RULES}
    mistakes = list(mistakes_in(top, RECIPE_RULES, ""))
    if not stage_tables:
        mistakes.append("stages: at least one")
    merged = [_merge(shared, own) for own in stage_tables]
    for number, stage in enumerate(merged, start=1):
        mistakes += mistakes_in({"iterations": 0, **stage}, STAGE_RULES, f"stage {number}: ")
        augmentation = stage.get("augmentation", {})
        if isinstance(augmentation, dict):
            mistakes += mistakes_in(
                augmentation, AUGMENTATION_RULES, f"stage {number}, augmentation: "
            )
    if mistakes:
        raise ConfigError(f"{where}: {'; '.join(mistakes)}")
    return Recipe(stages=tuple(_stage(stage) for stage in merged), **top)


def _merge(shared: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """Let the settings of a stage win, one by one also within `augmentation`."""
    tables = [each["augmentation"] for each in (shared, own) if "augmentation" in each]
    merged = {**shared, **own}
    if tables and all(isinstance(each, dict) for each in tables):
        merged["augmentation"] = {key: value for each in tables for key, value in each.items()}
    return merged


def _stage(table: dict[str, Any]) -> Stage:
    values = {key: _frozen(value) for key, value in table.items() if key != "augmentation"}
    augmentation = {key: _frozen(value) for key, value in table.get("augmentation", {}).items()}
    return Stage(**values, augmentation=Augmentation(**augmentation))


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value


def _decay() -> Rule:
    return Rule(
        "a number, at least 0 and below 1", lambda value: is_number(value, 0, 1) and value < 1
    )


def _range(low: float, high: float = math.inf) -> Rule:
    most = f" and at most {high:g}" if high < math.inf else ""
    return Rule(
        f"two numbers, the first at least {low:g}, the second no less than the first{most}",
        lambda value: is_list(value, 2, low, high) and value[0] <= value[1],
    )


RECIPE_RULES = {"validate_every": whole_rule(1)}

STAGE_RULES = {
    "iterations": whole_rule(1),
    "size": whole_rule(MINIMUM_SIZE),
    "batch_size": whole_rule(MINIMUM_BATCH),
    "learning_rate": number_rule(1e-12),
    "warmup": whole_rule(0),
    "power": number_rule(0),
    "optimizer": choice_rule(*get_args(OptimizerName)),
    "momentum": _decay(),
    "weight_decay": number_rule(0),
    "clip": number_rule(0),
    "ema": _decay(),
    "refine_weight": number_rule(0),
    "shapes": Rule(
        "a list of pairs [height, width], each of both above 0 and at most 1",
        lambda value: (
            isinstance(value, list)
            and bool(value)
            and all(is_list(item, 2, 0.01, 1) for item in value)
        ),
    ),
    "datasets": Rule(
        "a list of positions, from 1, or -1 for the last dataset",
        lambda value: (
            isinstance(value, list) and all(isinstance(item, int) and item != 0 for item in value)
        ),
    ),
    "augmentation": Rule("a table", lambda value: isinstance(value, dict)),
}

AUGMENTATION_RULES = {
    "rotation": number_rule(0, 180),
    "lightness": _range(0),
    "flip": number_rule(0, 1),
    "view": number_rule(0, 1),
    "view_heights": _range(0.01),
    "grey": number_rule(0, 1),
    "colour": number_rule(0, 1),
    "colour_range": number_rule(0, 1),
    "compression": number_rule(0, 1),
    "quality": _range(1, 100),
    "blur": number_rule(0, 1),
    "blur_radius": _range(1e-4, 0.1),
    "noise": number_rule(0, 1),
    "noise_level": _range(0, 1),
    "background": number_rule(0, 1),
}
