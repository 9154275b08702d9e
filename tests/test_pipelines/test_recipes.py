from pathlib import Path

import pytest

from pipelines.errors import ConfigError
from pipelines.recipes import RECIPES, load_recipe, recipe_from_table


@pytest.mark.parametrize("name", RECIPES)
def test_shipped_recipes_are_valid(name: str) -> None:
    assert load_recipe(name).iterations > 0


def test_paper_recipe_has_the_numbers_of_the_paper() -> None:
    first, second = load_recipe("paper").stages
    assert (first.iterations, second.iterations) == (40000, 40000)
    assert (first.refine_weight, second.refine_weight) == (0.0, 0.1)
    assert (first.batch_size, first.learning_rate, first.momentum) == (16, 0.1, 0.9)
    assert (first.weight_decay, first.size, first.datasets) == (1e-4, 512, (1,))
    assert (first.augmentation.rotation, first.augmentation.lightness) == (45.0, (0.7, 1.3))
    assert second.warmup > 0


def test_rate_warms_up_linearly_then_falls_with_a_power() -> None:
    recipe = recipe_from_table(
        {"iterations": 104, "warmup": 4, "learning_rate": 0.1, "power": 0.9}, where="test"
    )
    stage = recipe.stages[0]
    warm = [stage.rate_at(iteration) for iteration in range(5)]
    assert warm == pytest.approx([0.025, 0.05, 0.075, 0.1, 0.1])
    assert stage.rate_at(54) == pytest.approx(0.1 * 0.5**0.9)
    assert 0 < stage.rate_at(103) < 0.01


def test_stages_follow_each_other() -> None:
    stages = [{"iterations": 2, "size": 64}, {"iterations": 3, "size": 96}]
    recipe = recipe_from_table({"stages": stages, "batch_size": 4}, where="test")
    found = [(recipe.stage_at(i)[0].size, recipe.stage_at(i)[1]) for i in range(5)]
    assert found == [(64, 0), (64, 1), (96, 0), (96, 1), (96, 2)]
    assert all(stage.batch_size == 4 for stage in recipe.stages)


def test_overridden_iterations_are_shared_in_proportion() -> None:
    recipe = load_recipe("paper").with_overrides(
        iterations=100, size=64, batch_size=None, learning_rate=0.5
    )
    assert [stage.iterations for stage in recipe.stages] == [50, 50]
    assert {stage.size for stage in recipe.stages} == {64}
    assert {stage.learning_rate for stage in recipe.stages} == {0.5}
    assert {stage.batch_size for stage in recipe.stages} == {16}


def test_all_mistakes_of_a_file_are_named_together(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        "itertions = 5\niterations = 0\nlearning_rate = 'fast'\n[augmentation]\nrotaton = 3\n"
    )
    with pytest.raises(ConfigError) as error:
        load_recipe(str(path))
    message = str(error.value)
    assert "unknown key 'itertions', the nearest valid one is 'iterations'" in message
    assert "iterations = 0: must be a whole number, at least 1" in message
    assert "learning_rate = 'fast': must be a number" in message
    assert "unknown key 'rotaton', the nearest valid one is 'rotation'" in message


@pytest.mark.parametrize("total", [2, 3, 7, 100, 99_999])
def test_overridden_iterations_add_up(total: int) -> None:
    recipe = load_recipe("paper").with_overrides(
        iterations=total, size=None, batch_size=None, learning_rate=None
    )
    assert recipe.iterations == total
    assert all(stage.iterations > 0 for stage in recipe.stages)


@pytest.mark.parametrize(
    "line",
    [
        "iterations = 2.5",
        "iterations = true",
        "batch_size = 1",
        "shapes = []",
        "shapes = [1.0, 0.75]",
        "shapes = [[1.0]]",
        "shapes = [[0.0, 1.0]]",
        "datasets = 1",
        "datasets = [0]",
        "momentum = -1",
        "learning_rate = nan",
        "learning_rate = 0",
        "augmentation = 5",
        "augmentation.lightness = 1.0",
        "augmentation.view_heights = ['a', 'b']",
        "augmentation.lightness = [1.3, 0.7]",
        "validate_every = 0",
        "stages = 3",
        "stages = [1]",
        "stages = []",
    ],
)
def test_every_wrong_setting_is_refused_by_name(tmp_path: Path, line: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(f"{line}\n" + ("" if "iterations" in line else "iterations = 5\n"))
    name = line.partition(" =")[0].removeprefix("augmentation.")
    with pytest.raises(ConfigError, match=name):
        load_recipe(str(path))


def test_augmentation_of_a_stage_adds_to_the_shared_one() -> None:
    table = {
        "iterations": 5,
        "augmentation": {"rotation": 1.0, "flip": 0.0},
        "stages": [{"augmentation": {"flip": 1.0}}, {}],
    }
    first, second = recipe_from_table(table, where="test").stages
    assert (first.augmentation.rotation, first.augmentation.flip) == (1.0, 1.0)
    assert (second.augmentation.rotation, second.augmentation.flip) == (1.0, 0.0)


def test_missing_and_broken_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no such recipe; use quick, pretrain"):
        load_recipe("nowhere.toml")
    (tmp_path / "broken.toml").write_text("a = = b")
    with pytest.raises(ConfigError, match="not valid TOML"):
        load_recipe(str(tmp_path / "broken.toml"))


def test_mistakes_of_optimizer_clipping_and_average_are_named_together() -> None:
    table = {"optimizer": "adam", "clip": -1, "ema": 1.0, "momentum": 1}
    with pytest.raises(ConfigError) as error:
        recipe_from_table({"iterations": 1, **table}, where="test")
    assert all(
        part in str(error.value)
        for part in (
            'optimizer = \'adam\': must be "sgd" or "adamw"',
            "clip = -1: must be a number, at least 0",
            "ema = 1.0: must be a number, at least 0 and below 1",
            "momentum = 1: must be",
        )
    )
