"""Training recipes: TOML files that are validated as a whole."""

import difflib
import tomllib
from dataclasses import asdict, dataclass, field, fields, replace
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

from pipelines.augment import Augmentation
from pipelines.errors import ConfigError

RECIPES = ("quick", "pretrain", "finetune", "paper")
"""Names that `--recipe` takes for files in the folder `recipes` of this package."""

T = TypeVar("T")
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
        momentum: Of SGD.
        weight_decay: L2 regularisation of all learnable parameters.
        refine_weight: gamma of Eq. 8; 0 leaves the refine loss out.
        shapes: Height and width of the views relative to `size`; each step draws one.
        datasets: Positions of the datasets to draw from, from 1, or -1 for the last; empty for all.
    """

    iterations: int
    size: int = 512
    batch_size: int = 16
    learning_rate: float = 0.1
    warmup: int = 0
    power: float = 0.9
    momentum: float = 0.9
    weight_decay: float = 1e-4
    refine_weight: float = 0.1
    shapes: Shapes = ((1.0, 0.75),)
    datasets: tuple[int, ...] = ()
    augmentation: Augmentation = field(default_factory=Augmentation)

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
            share = iterations / self.iterations
            stages = tuple(
                replace(
                    stage,
                    iterations=max(1, round(stage.iterations * share)),
                    warmup=round(stage.warmup * share),
                )
                for stage in stages
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
        text = (files("pipelines") / "recipes" / f"{name_or_path}.toml").read_text()
    else:
        path = Path(name_or_path)
        if not path.is_file():
            raise ConfigError(
                f"--recipe {name_or_path}: no such recipe; use {', '.join(RECIPES)} or a TOML file"
            )
        text = path.read_text(encoding="utf-8")
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"--recipe {name_or_path}: not valid TOML: {error}") from error
    return recipe_from_table(table, where=f"recipe {name_or_path}")


def recipe_from_table(table: dict[str, Any], *, where: str) -> Recipe:
    """Build a recipe from the content of its file.

    Args:
        table: `validate_every`, `augmentation` and settings shared by all stages at the top, a
            list `stages` of tables below.
        where: Named in errors.

    Raises:
        ConfigError: Some settings make no sense; all are named.
    """
    mistakes: list[str] = []
    stage_tables = table.get("stages") or [{}]
    shared = {key: value for key, value in table.items() if key not in {"stages", "validate_every"}}
    stages = tuple(
        _stage({**shared, **own}, f"stage {position}", mistakes)
        for position, own in enumerate(stage_tables, start=1)
    )
    validate_every = table.get("validate_every", Recipe.validate_every)
    if not isinstance(validate_every, int) or validate_every < 1:
        mistakes.append(f"validate_every = {validate_every!r}: a positive whole number")
    if mistakes:
        raise ConfigError(f"{where}: " + "; ".join(dict.fromkeys(mistakes)))
    return Recipe(stages=stages, validate_every=validate_every)


def _stage(table: dict[str, Any], where: str, mistakes: list[str]) -> Stage:
    augmentation = _build(
        Augmentation, table.get("augmentation", {}), f"{where}, augmentation", mistakes
    )
    values = {key: value for key, value in table.items() if key != "augmentation"}
    if "shapes" in values:
        values["shapes"] = tuple(tuple(float(side) for side in shape) for shape in values["shapes"])
    values.setdefault("iterations", 0)
    stage = _build(Stage, values, where, mistakes)
    for name, minimum in (
        ("iterations", 1),
        ("size", 32),
        ("batch_size", 1),
        ("warmup", 0),
        ("refine_weight", 0),
        ("weight_decay", 0),
    ):
        if getattr(stage, name) < minimum:
            mistakes.append(f"{where}: {name} = {getattr(stage, name)}: at least {minimum}")
    if stage.learning_rate <= 0:
        mistakes.append(f"{where}: learning_rate = {stage.learning_rate}: must be positive")
    return replace(stage, augmentation=augmentation)


def _build(kind: type[T], values: dict[str, Any], where: str, mistakes: list[str]) -> T:
    """Make a dataclass of known keys and plausible types; note everything else."""
    defaults = {item.name: getattr(kind, item.name, 0) for item in fields(kind)}  # type: ignore[arg-type]
    known = {}
    for key, value in values.items():
        if key not in defaults:
            near = difflib.get_close_matches(key, defaults, n=1)
            mistakes.append(
                f"{where}: unknown key {key!r}" + (f", did you mean {near[0]!r}?" if near else "")
            )
        elif isinstance(defaults[key], int | float) and not isinstance(value, int | float):
            mistakes.append(f"{where}: {key} = {value!r}: a number")
        else:
            known[key] = tuple(value) if isinstance(value, list) else value
    return kind(**known)
