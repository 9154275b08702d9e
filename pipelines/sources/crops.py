"""Further samples cut out of listed photos, such as half-body views of full-body photos."""

import csv
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from pipelines.errors import InputError
from pipelines.sources.sample import Sample

COLUMN_SUFFIX = "_crop"


def cropped_samples(samples: Iterable[Sample], table: Path) -> list[Sample]:
    """Return one sample for every box that a CSV file lists for a known sample.

    Args:
        samples: Samples that may be cropped, by the name in the column `stem`.
        table: CSV file with a column `stem` and one or more columns whose name ends in `_crop`,
            each "x0,y0,x1,y1" in pixels of the upright photo, or empty.

    Returns:
        The crops, each named `stem#column`.

    Raises:
        InputError: The table cannot be read, lacks these columns, names an unknown sample, or a
            box is malformed.
    """
    rows, columns = _read_table(table)
    stems = {row["stem"] for row in rows}
    by_name = {sample.name: sample for sample in samples if sample.name in stems}
    unknown = [row["stem"] for row in rows if row["stem"] not in by_name]
    if unknown:
        raise InputError(
            f"--crops {table}: {len(unknown)} stems are no samples of the dataset, the first is "
            f"{unknown[0]!r}; they are names of photos without their extension"
        )
    crops = {
        f"{row['stem']}#{column}": replace(
            by_name[row["stem"]],
            name=f"{row['stem']}#{column}",
            crop=_box(row[column], f"--crops {table}: {row['stem']}, column {column}"),
        )
        for row in rows
        for column in columns
        if row[column]
    }
    return [*crops.values()]


def _read_table(table: Path) -> tuple[list[dict[str, str]], list[str]]:
    """Return the rows and the names of the columns that hold boxes."""
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True, restval="")
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"--crops {table}: cannot be read as CSV in UTF-8 ({error})") from error
    names = list(reader.fieldnames or [])
    columns = [name for name in names if name.endswith(COLUMN_SUFFIX)]
    if not columns or "stem" not in names:
        raise InputError(
            f"--crops {table}: needs a column 'stem' and one whose name ends in {COLUMN_SUFFIX!r}"
        )
    surplus = next((row["stem"] for row in rows if None in row), None)
    if surplus is not None:
        raise InputError(
            f"--crops {table}: the row of {surplus!r} has more fields than the header; put boxes "
            "into quotes"
        )
    return rows, columns


def _box(text: str, where: str) -> tuple[int, int, int, int]:
    try:
        x0, y0, x1, y1 = (int(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"{where}: {text!r} is not x0,y0,x1,y1") from None
    if not (0 <= x0 < x1 and 0 <= y0 < y1):
        raise InputError(f"{where}: the box {text!r} is empty or negative")
    return x0, y0, x1, y1
