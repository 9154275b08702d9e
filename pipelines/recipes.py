"""Training recipes: TOML files that are validated as a whole."""

import difflib
import math
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from pipelines.augmentation.settings import Augmentation
from pipelines.errors import ConfigError
from pipelines.images import working_size
from pipelines.inference import MINIMUM_SIZE

RECIPES = ("quick", "pretrain", "finetune", "generalise", "polish", "paper")
"""Names that `--recipe` takes for files in the folder `recipes` of this package."""

MINIMUM_BATCH = 2
"""Batch normalisation of the deepest features needs more than one value per channel."""

OptimizerName = Literal["sgd", "adamw"]

Shapes = tuple[tuple[float, float], ...]


class Rule(NamedTuple):
    """What a setting must be, in words and as a test."""

    meaning: str
    accepts: Callable[[Any], bool]


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
    mistakes = list(_mistakes(top, RECIPE_RULES, ""))
    if not stage_tables:
        mistakes.append("stages: at least one")
    merged = [_merge(shared, own) for own in stage_tables]
    for number, stage in enumerate(merged, start=1):
        mistakes += _mistakes({"iterations": 0, **stage}, STAGE_RULES, f"stage {number}: ")
        augmentation = stage.get("augmentation", {})
        if isinstance(augmentation, dict):
            mistakes += _mistakes(
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


def _mistakes(values: dict[str, Any], rules: dict[str, Rule], where: str) -> Iterator[str]:
    for key, value in values.items():
        if key not in rules:
            near = difflib.get_close_matches(key, rules, n=1, cutoff=0)
            yield f"{where}unknown key {key!r}, the nearest valid one is {near[0]!r}"
        elif not rules[key].accepts(value):
            yield f"{where}{key} = {value!r}: must be {rules[key].meaning}"


def _is_number(value: object, low: float, high: float = math.inf) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and low <= value < math.inf and value <= high  # type: ignore[operator]


def _whole(low: int) -> Rule:
    return Rule(
        f"a whole number, at least {low}",
        lambda value: isinstance(value, int) and _is_number(value, low),
    )


def _number(low: float, high: float = math.inf) -> Rule:
    meaning = f"a number, at least {low:g}" + (f" and at most {high:g}" if high < math.inf else "")
    return Rule(meaning, lambda value: _is_number(value, low, high))


def _decay() -> Rule:
    return Rule(
        "a number, at least 0 and below 1", lambda value: _is_number(value, 0, 1) and value < 1
    )


def _is_pair(value: object, low: float, high: float = math.inf) -> bool:
    return (
        isinstance(value, list)
        and len(value) == len(("low", "high"))
        and all(_is_number(item, low, high) for item in value)
    )


def _range(low: float, high: float = math.inf) -> Rule:
    most = f" and at most {high:g}" if high < math.inf else ""
    return Rule(
        f"two numbers, the first at least {low:g}, the second no less than the first{most}",
        lambda value: _is_pair(value, low, high) and value[0] <= value[1],
    )


RECIPE_RULES = {"validate_every": _whole(1)}

STAGE_RULES = {
    "iterations": _whole(1),
    "size": _whole(MINIMUM_SIZE),
    "batch_size": _whole(MINIMUM_BATCH),
    "learning_rate": _number(1e-12),
    "warmup": _whole(0),
    "power": _number(0),
    "optimizer": Rule(
        " or ".join(f'"{name}"' for name in get_args(OptimizerName)),
        lambda value: value in get_args(OptimizerName),
    ),
    "momentum": _decay(),
    "weight_decay": _number(0),
    "clip": _number(0),
    "ema": _decay(),
    "refine_weight": _number(0),
    "shapes": Rule(
        "a list of pairs [height, width], each of both above 0 and at most 1",
        lambda value: (
            isinstance(value, list)
            and bool(value)
            and all(_is_pair(item, 0.01, 1) for item in value)
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
    "rotation": _number(0, 180),
    "lightness": _range(0),
    "flip": _number(0, 1),
    "view": _number(0, 1),
    "view_heights": _range(0.01),
    "grey": _number(0, 1),
    "colour": _number(0, 1),
    "colour_range": _number(0, 1),
    "compression": _number(0, 1),
    "quality": _range(1, 100),
    "blur": _number(0, 1),
    "blur_radius": _range(1e-4, 0.1),
    "noise": _number(0, 1),
    "noise_level": _range(0, 1),
    "background": _number(0, 1),
}
