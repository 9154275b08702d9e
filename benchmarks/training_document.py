"""docs/training.md, from the results of the ablation."""

from pathlib import Path


def render_document(results: Path) -> str:
    """Return the document as Markdown."""
    return str(results)
