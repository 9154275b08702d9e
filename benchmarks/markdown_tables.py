"""Tables in Markdown."""

from collections.abc import Iterable


def markdown_table(header: Iterable[str], rows: Iterable[Iterable[str]], *, text: int = 1) -> str:
    """Return a table as Markdown.

    Args:
        header: Names of the columns.
        rows: Cells, as many as there are names.
        text: How many columns, from the first on, are aligned to the left.
    """
    header = list(header)
    rule = [*["---"] * text, *["---:"] * (len(header) - text)]
    lines = [header, rule, *map(list, rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"
