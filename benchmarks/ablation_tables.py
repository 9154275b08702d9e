"""The tables of the ablation, from its results."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import getitem
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from ablation_rows import REFERENCE, ROWS, Change, row_recipe
from markdown_tables import markdown_table
from recipe_keys import toml_value
from result_files import sha256_of

NOT_RUN = "not run"

COMPARABLE = ("photos_sha256", "datasets", "iterations", "precision")
"""What must be the same for all results."""

Result = dict[str, Any]
Results = dict[str, dict[int, Result]]
"""By row and seed."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A column of the tables.

    Attributes:
        title: Of the column.
        value: Per cent or points of a result.
        note: What is added to the figure of a single result.
    """

    title: str
    value: Callable[[Result], float]
    note: Callable[[Result], str] = lambda _: ""


def load_results(folder: Path) -> Results:
    """Read the results of all rows.

    Raises:
        ValueError: Some cannot stand in one table, or are not of the rows of today.
    """
    results: Results = {}
    for path in sorted(folder.glob("*.json")):
        result = json.loads(path.read_text(encoding="utf-8"))
        name = result["row"]
        if name not in ROWS or result["recipe_sha256"] != sha256_of(row_recipe(name)):
            raise ValueError(f"{path}: of another recipe than the row {name} has; run it again")
        results.setdefault(name, {})[result["seed"]] = result
    for key in COMPARABLE:
        values = {json.dumps(each[key]) for seeds in results.values() for each in seeds.values()}
        if len(values) > 1:
            raise ValueError(f"{folder}: the results differ in {key}: {', '.join(sorted(values))}")
    return results


def plain_figures(results: Results) -> list[Figure]:
    """Return the columns of the photos as they are."""
    return [
        Figure(title=f"{title}, {name}", value=_path("validation", name, key))
        for key, title in (("portrait_iou", "portrait IoU"), ("boundary_iou", "boundary IoU"))
        for name in _people(results)
    ]


def _path(*keys: str) -> Callable[[Result], float]:
    """Return what takes a fraction out of a result, per cent."""

    def value(result: Any) -> float:
        return 100 * reduce(getitem, keys, result)

    return value


def _people(results: Results) -> list[str]:
    every = (result for seeds in results.values() for result in seeds.values())
    return list(next(every, {"validation": {}})["validation"])


TOGETHER = Figure(title="together", value=_path("web_portraits", "together", "portrait_iou"))

UNLIKE = [
    Figure(title="points lost, mean", value=lambda result: result["losses"]["mean"]),
    Figure(
        title="points lost, worst",
        value=lambda result: result["losses"]["worst"],
        note=lambda result: f", {result['losses']['worst_of']}",
    ),
    Figure(title="compositions", value=_path("web_portraits", "compositions", "portrait_iou")),
    Figure(title="re-framings", value=_path("web_portraits", "re-framings", "portrait_iou")),
    TOGETHER,
    Figure(title="nobody: % of photos", value=_path("nobody_over_two_percent", "val", "share")),
]
"""The columns of photos that are not like the training photos."""


def figure_table(results: Results, figures: Sequence[Figure]) -> str:
    """Return a line for every row with its figures, and how far they are from the reference."""
    rows = (
        (_title(name, results), *(_cell(results, name, figure) for figure in figures))
        for name in ROWS
    )
    return markdown_table(("row", *(figure.title for figure in figures)), rows)


def change_table() -> str:
    """Return what every row is."""
    rows = ((f"`{name}`", _change(row.on, row.change)) for name, row in ROWS.items())
    return markdown_table(("row", "what it changes"), rows, text=2)


def ranking(results: Results) -> str:
    """Return the rows in the order of the web portraits, the best first."""
    differences = {
        name: mean(_differences(results, name, TOGETHER))
        for name in results
        if name != REFERENCE and _differences(results, name, TOGETHER)
    }
    if not differences:
        return f"The order of the rows: {NOT_RUN}.\n"
    best_first = sorted(differences, key=lambda name: -differences[name])
    order = ", ".join(f"`{name}` {differences[name]:+.2f}" for name in best_first)
    return f"Against `{REFERENCE}`, by the web portraits together: {order}.\n"


def spread(results: Results, figures: Iterable[Figure]) -> str:
    """Say how far rows with several seeds differ from themselves."""
    several = {name: seeds for name, seeds in results.items() if len(seeds) > 1}
    if not several:
        return "No row was run with a second seed: how large that noise is was not measured.\n"
    lines = []
    for name, seeds in several.items():
        ranges = []
        for figure in figures:
            values = [figure.value(result) for result in seeds.values()]
            ranges.append(f"{figure.title} {max(values) - min(values):.2f}")
        lines.append(
            f"- `{name}`, seeds {', '.join(map(str, sorted(seeds)))}: from the least to the "
            f"greatest, in points: {'; '.join(ranges)}."
        )
    return "\n".join([*lines, ""])


def _title(name: str, results: Results) -> str:
    links = [
        f"[{seed}](../benchmarks/results/ablation/{name}-seed{seed}.json)"
        for seed in sorted(results.get(name, {}))
    ]
    return f"`{name}` ({', '.join(links)})" if links else f"`{name}`"


def _change(on: str | None, change: Change) -> str:
    if on is None:
        return "nothing"
    keys = ", ".join(f"`{key} = {toml_value(value)}`" for key, value in change.items())
    return keys if on == REFERENCE else f"`{on}`, and {keys}"


def _cell(results: Results, name: str, figure: Figure) -> str:
    seeds = results.get(name, {})
    if not seeds:
        return NOT_RUN
    values = [figure.value(result) for result in seeds.values()]
    text = f"{mean(values):.2f}"
    if len(values) > 1:
        text += f" ± {stdev(values):.2f}"
    differences = _differences(results, name, figure)
    if name != REFERENCE and differences:
        text += f" ({mean(differences):+.2f})"
    return text + (figure.note(next(iter(seeds.values()))) if len(values) == 1 else "")


def _differences(results: Results, name: str, figure: Figure) -> list[float]:
    """Return the differences to the reference, seed by seed."""
    mine, reference = (results.get(each, {}) for each in (name, REFERENCE))
    return [
        figure.value(mine[seed]) - figure.value(reference[seed])
        for seed in sorted({*mine} & {*reference})
    ]
