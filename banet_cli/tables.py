"""Summaries as tables for people."""

from collections.abc import Callable, Iterator
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

FRACTIONS = frozenset({"portrait_iou", "miou", "boundary_iou"})
"""Scores that people read per cent."""

ROWS_SHOWN = 20
"""Longer lists are cut; all of it stands in the files that a command writes, and in --json."""


def _benchmark_row(figures: dict[str, Any]) -> dict[str, Any]:
    """Return the figures of a network in columns for 80 characters."""
    spread = (figures["latency_ms_p90"] - figures["latency_ms_p10"]) / 2
    return {
        "name": figures["name"],
        "param M": figures["parameters"] / 1e6,
        "GFLOP": figures["gflops"],
        "dtype": figures["precision"],
        "latency ms": f"{figures['latency_ms']:.4g} ± {spread:.4g}",
        "fps": figures["fps"],
        "ratio": figures["fps_ratio"],
        "MB": figures["peak_memory_mb"],
    }


ROWS_FOR_PEOPLE: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {"models": _benchmark_row}
"""What becomes of the items of some lists of a summary before people read them."""


def summary_tables(
    summary: dict[str, object], *, hidden: frozenset[str] = frozenset()
) -> Iterator[Table]:
    """Yield a table of the plain values, then one for each list, whose items are objects."""
    summary = {key: value for key, value in summary.items() if key not in hidden}
    plain = {key: value for key, value in summary.items() if not isinstance(value, list)}
    if plain:
        table = Table(box=box.SIMPLE, show_header=False)
        table.add_column(style="bold")
        table.add_column(overflow="fold")
        for key, value in _flat(plain):
            table.add_row(_label(key), _cell(key, value))
        yield table
    for key, value in summary.items():
        if isinstance(value, list) and value:
            for_people = ROWS_FOR_PEOPLE.get(key, dict)
            yield _rows_table([for_people(row) for row in value])


def _rows_table(rows: list[dict[str, Any]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for key in rows[0]:
        table.add_column(_label(key) + (" %" if key in FRACTIONS else ""), overflow="fold")
    for row in rows[:ROWS_SHOWN]:
        table.add_row(*(_cell(key, value) for key, value in row.items()))
    if len(rows) > ROWS_SHOWN:
        table.caption = f"and {len(rows) - ROWS_SHOWN} more"
    return table


def _flat(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key} ")
        else:
            yield prefix + key, value


def _label(key: str) -> str:
    return key.replace("_", " ")


def _cell(key: str, value: Any) -> Text:
    return Text(_value_text(key, value))


def _value_text(key: str, value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        is_fraction = key.rsplit(" ", 1)[-1] in FRACTIONS
        return f"{value * 100:.2f}" if is_fraction else f"{value:.4g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value)
