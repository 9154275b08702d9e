"""Further samples cut out of listed photos, such as half-body views of full-body photos."""

import csv
from dataclasses import replace
from pathlib import Path

from pipelines.errors import InputError
from pipelines.sources.sample import Sample

COLUMN_SUFFIX = "_crop"


def add_crops(samples: list[Sample], table: Path) -> list[Sample]:
    """Append one sample for every box that a CSV file lists for a known sample.

    Args:
        samples: Samples that may be cropped, by the name in the column `stem`.
        table: CSV file with a column `stem` and one or more columns whose name ends in `_crop`,
            each "x0,y0,x1,y1" in pixels of the upright photo, or empty.

    Returns:
        `samples`, followed by the crops, each named `stem#column`.

    Raises:
        InputError: The table is missing, lacks these columns, or a box is malformed.
    """
    try:
        with table.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise InputError(f"--crops {table}: cannot be read ({error.strerror})") from error
    columns = [name for name in (rows[0] if rows else {}) if name.endswith(COLUMN_SUFFIX)]
    if not columns or "stem" not in rows[0]:
        raise InputError(
            f"--crops {table}: needs a column 'stem' and one whose name ends in {COLUMN_SUFFIX!r}"
        )
    by_name = {sample.name: sample for sample in samples}
    crops = [
        replace(
            by_name[row["stem"]],
            name=f"{row['stem']}#{column}",
            crop=_box(row[column], f"--crops {table}: {row['stem']}, column {column}"),
        )
        for row in rows
        for column in columns
        if row["stem"] in by_name and row[column]
    ]
    return samples + crops


def _box(text: str, where: str) -> tuple[int, int, int, int]:
    try:
        x0, y0, x1, y1 = (int(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"{where}: {text!r} is not x0,y0,x1,y1") from None
    if not (0 <= x0 < x1 and 0 <= y0 < y1):
        raise InputError(f"{where}: the box {text!r} is empty or negative")
    return x0, y0, x1, y1
