"""Tables in a terminal."""

from rich import box
from rich.table import Table


def terminal_table(*columns: str, title: str | None = None, text: int = 1) -> Table:
    """Return a table without rows.

    Args:
        columns: Their names.
        title: Above it.
        text: How many columns, from the first on, are aligned to the left.
    """
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number < text else "right")
    return table


def titles_of(record: object) -> list[str]:
    """Return the names of a record's fields as those of columns."""
    return [name.replace("_", " ") for name in vars(record)]
