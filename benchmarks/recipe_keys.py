"""The keys of recipes, as tables that follow the code."""

import inspect
import json
import re
from dataclasses import MISSING, fields
from typing import Any

from markdown_tables import markdown_table

from pipelines.augmentation.settings import Augmentation
from pipelines.recipes import AUGMENTATION_RULES, RECIPE_RULES, STAGE_RULES, Recipe, Stage
from pipelines.rules import Rule

TABLES = ("stages", "augmentation")
"""Keys that are no values but tables of keys."""

HEADER = ("key", "default", "must be", "meaning")


def training_keys() -> str:
    """Return a table of the keys of a stage, and of the one that belongs to the whole recipe."""
    return _table({Recipe: RECIPE_RULES, Stage: STAGE_RULES})


def augmentation_keys() -> str:
    """Return a table of the keys of `[augmentation]`."""
    return _table({Augmentation: AUGMENTATION_RULES})


def toml_value(value: Any) -> str:
    """Return a number, a text or a list as TOML writes it."""
    return json.dumps(value)


def _table(rules: dict[type, dict[str, Rule]]) -> str:
    rows = (
        (
            f"`{each.name}`",
            "required" if each.default is MISSING else f"`{toml_value(each.default)}`",
            rules[kind][each.name].meaning,
            _meanings(kind)[each.name],
        )
        for kind in rules
        for each in fields(kind)
        if each.name not in TABLES
    )
    return markdown_table(HEADER, rows, text=len(HEADER))


def _meanings(kind: type) -> dict[str, str]:
    """Return what the docstring of a class says of its attributes."""
    _, attributes = (inspect.getdoc(kind) or "").split("Attributes:\n")
    found = re.findall(r"^    (\w+): (.+(?:\n     .+)*)", attributes, re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in found}
