"""docs/reproduction.md, from the results of the cells."""

from pathlib import Path


def render_document(results: Path) -> str:
    """Render."""
    return str(results)
