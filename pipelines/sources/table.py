"""The layout `csv`: a table that names photos and masks, wherever they lie.

Columns are `image` and `mask`, and may be `split` and `licence`. Paths are relative to the table.
"""

import csv
from collections.abc import Iterator
from io import StringIO

from pipelines.errors import InputError, PhotoError
from pipelines.sources.classes import Classes, class_numbers
from pipelines.sources.files import SourceFiles, split_named
from pipelines.sources.mask_origin import MaskFile
from pipelines.sources.sample import Sample, sample_names
from pipelines.storage import FilePath, Location, RemotePath, locate
from pipelines.urls import is_url
from pipelines.whole_files import read_bytes

COLUMNS = {
    "image": ("image", "photo"),
    "mask": ("mask",),
    "split": ("split",),
    "licence": ("licence", "license"),
}
"""What their headings may be, in lower case; other columns do not count."""

REQUIRED = ("image", "mask")
DELIMITERS = ",;\t"

Row = dict[str, str]


def matches(files: SourceFiles) -> bool:
    """Tell whether a table was named, or one lies directly in the folder."""
    return bool(_tables(files))


def discover(files: SourceFiles, classes: Classes) -> Iterator[Sample]:
    """List every row.

    Raises:
        ConfigError: The classes are no numbers.
        InputError: There are several tables, or one is damaged, lacks a column, or names a photo
            twice or a split that is none.
    """
    numbers = class_numbers(classes, "csv")
    tables = _tables(files)
    if len(tables) > 1:
        raise InputError(
            f"{files.root}: {' and '.join(tables)} both list photos and masks; name one of them: "
            f"banet prepare {files.path(tables[0])} DATASET.zarr"
        )
    if not tables:
        return iter(())
    table = files.path(tables[0])
    rows = _read(table)
    _refuse_repetition(rows, table)
    return (
        Sample(
            name=name,
            photo=_locate(files, row["image"]),
            mask=MaskFile(_locate(files, row["mask"]), numbers),
            split=_split(row["split"], f"{table}, line {line}"),
            licence=row["licence"],
            problem=_problem(row, f"{table}, line {line}"),
        )
        for (line, row), name in zip(
            rows.items(),
            sample_names([row["image"] or f"line {line}" for line, row in rows.items()]),
            strict=True,
        )
    )


def _tables(files: SourceFiles) -> list[str]:
    """Return the tables that have the columns; the one that was named is not looked into."""
    if files.chosen:
        return [files.chosen] if files.chosen.lower().endswith(".csv") else []
    tables = [name for name in files.names if "/" not in name and name.lower().endswith(".csv")]
    return [name for name in tables if _has_columns(files.path(name))]


def _has_columns(table: Location) -> bool:
    try:
        header = _text(table).partition("\n")[0]
    except InputError:
        return False
    return set(REQUIRED) <= set(_columns(_split_line(header)))


def _read(table: Location) -> dict[int, Row]:
    """Return the rows by their line in the file, with all columns of `COLUMNS`."""
    text = _text(table)
    try:
        lines = csv.reader(StringIO(text), delimiter=_delimiter(text), strict=True)
        header = next(lines, [])
        columns = _columns(header)
        missing = [name for name in REQUIRED if name not in columns]
        if missing:
            raise InputError(f"{table}: has no column {missing[0]!r}, but {', '.join(header)}")
        rows: dict[int, Row] = {}
        for cells in lines:
            if len(cells) > len(header):
                raise InputError(
                    f"{table}, line {lines.line_num}: more cells than the header has; put those "
                    "with commas into quotes"
                )
            if any(cells):
                padded = [*cells, *[""] * (len(header) - len(cells))]
                rows[lines.line_num] = {
                    name: padded[columns[name]].strip() if name in columns else ""
                    for name in COLUMNS
                }
    except csv.Error as error:
        raise InputError(f"{table}: cannot be read as CSV ({error})") from error
    return rows


def _text(table: Location) -> str:
    try:
        return read_bytes(table).decode("utf-8-sig")
    except (PhotoError, UnicodeDecodeError) as error:
        raise InputError(f"{table}: cannot be read as CSV in UTF-8 ({error})") from error


def _delimiter(text: str) -> str:
    header = text.partition("\n")[0]
    return max(DELIMITERS, key=header.count)


def _split_line(header: str) -> list[str]:
    return [cell.strip().strip('"') for cell in header.split(_delimiter(header))]


def _columns(header: list[str]) -> dict[str, int]:
    """Return where the columns are that count."""
    headings = [heading.strip().lower() for heading in header]
    return {
        name: headings.index(alias)
        for name, aliases in COLUMNS.items()
        for alias in aliases
        if alias in headings
    }


def _refuse_repetition(rows: dict[int, Row], table: Location) -> None:
    seen: dict[str, int] = {}
    for line, row in rows.items():
        first = seen.setdefault(row["image"], line)
        if first != line and row["image"]:
            raise InputError(f"{table}, line {line}: {row['image']} is listed in line {first} too")


def _locate(files: SourceFiles, cell: str) -> FilePath:
    if not is_url(cell):
        return files.file(cell)
    place = locate(cell)
    return place if isinstance(place, RemotePath) else str(place)


def _split(cell: str, where: str) -> str | None:
    split = split_named(cell)
    if cell and split is None:
        raise InputError(f"{where}: the split {cell!r} is none of train, val and test")
    return split


def _problem(row: Row, where: str) -> str:
    absent = next((name for name in REQUIRED if not row[name]), None)
    return "" if absent is None else f"{where}: names no {absent}"
